// dlopen and dlclose: the dynamic loader's lock, which is held while the constructors and
// destructors of libraries run.
//
// The loader looks along the run path of whoever calls, and takes that to be us.  Where it could
// matter (a name without a slash, `$ORIGIN`, a caller with a run path) the call goes on as if we
// were not there: a jump, so that the caller stays the caller.

#include <cstring>
#include <link.h>

#include "lockdep_preload/real.h"
#include "lockdep_preload/watch.h"

namespace netfs::lockdep_preload {
namespace {

constexpr How kLoading{.reentry = Reentry::kAllowed};
const char g_loader = 0;  // whose address stands for the loader's lock

Record* loader_record() {
  const auto address = reinterpret_cast<uintptr_t>(&g_loader);
  if (Record* there = find_record(address)) return there;
  Site* site = site_of(Kind::kLoader, Origin::kStatic, address);
  return site == nullptr ? nullptr : add_record(address, *site);
}

// What a library needs is looked for along the run path of who loads it.
bool has_run_path(uintptr_t code) {
  dl_find_object found;
  if (::_dl_find_object(reinterpret_cast<void*>(code), &found) != 0) return true;
  for (const ElfW(Dyn)* entry = found.dlfo_link_map->l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_RPATH || entry->d_tag == DT_RUNPATH) return true;
  }
  return false;
}

// Holds the loader's lock, as we think of it; also when a constructor throws.
class Loading {
 public:
  Loading(Context& context, uintptr_t ip) : context_(context), record_(nullptr), ip_(ip) {
    const KeepErrno keep;
    record_ = loader_record();
    acquire(context_, record_, kLoading, ip_);
  }
  ~Loading() {
    const KeepErrno keep;
    (void)release(context_, record_, ip_);
  }
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;

 private:
  Context& context_;
  Record* record_;
  uintptr_t ip_;
};

// Null where the call is not to be seen.
Context* seen(const char* file, uintptr_t ip) {
  if (file == nullptr || std::strchr(file, '/') == nullptr || std::strchr(file, '$') != nullptr)
    return nullptr;
  Context* context = watched();
  return context == nullptr || has_run_path(ip) ? nullptr : context;
}

[[gnu::noinline]] void* open_library(Context& context, const char* file, int mode, uintptr_t ip) {
  const Loading loading(context, ip);
  return real().dlopen(file, mode);
}

}  // namespace

LOCKDEP_HOOK void* dlopen(const char* file, int mode) {
  const uintptr_t ip = LOCKDEP_CALLER_IP;
  if (Context* context = seen(file, ip)) return open_library(*context, file, mode, ip);
  return real().dlopen(file, mode);  // the jump, by any optimisation
}

LOCKDEP_HOOK int dlclose(void* handle) {
  Context* context = watched();
  if (context == nullptr) return real().dlclose(handle);
  const Loading loading(*context, LOCKDEP_CALLER_IP);
  return real().dlclose(handle);
}

}  // namespace netfs::lockdep_preload
