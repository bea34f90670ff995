// dlopen and dlclose: the dynamic loader's lock, which is held while the constructors and
// destructors of libraries run.
//
// The loader looks along the run path of whoever calls, and takes that to be us.  Where it could
// matter (`$ORIGIN`, a caller with a run path, a name without a slash while a library has a path
// for what it loads) the call goes on as if we were not there: a jump, so that the caller stays the
// caller.

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
  Site* site = site_of(Kind::kLoader, {.origin = Origin::kStatic, .at = address});
  return site == nullptr ? nullptr : add_record(address, *site);
}

const ElfW(Dyn) * find_tag(const ElfW(Dyn) * entry, ElfW(Sxword) tag) {
  while (entry->d_tag != DT_NULL && entry->d_tag != tag) ++entry;
  return entry->d_tag == tag ? entry : nullptr;
}

// What a library needs is looked for along the run path of who loads it, and only there if that
// says so.
bool has_run_path(uintptr_t code) {
  dl_find_object found;
  if (::_dl_find_object(reinterpret_cast<void*>(code), &found) != 0) return true;
  const ElfW(Dyn)* dynamic = found.dlfo_link_map->l_ld;
  const ElfW(Dyn)* flags = find_tag(dynamic, DT_FLAGS_1);
  return find_tag(dynamic, DT_RPATH) != nullptr || find_tag(dynamic, DT_RUNPATH) != nullptr ||
         (flags != nullptr && (flags->d_un.d_val & DF_1_NODEFLIB) != 0);
}

// A DT_RPATH counts for what its library loaded, and for what that loads; the program's counts for
// all, us as well.
int is_library_with_path(dl_phdr_info* info, size_t, void* at_program) {
  bool& program = *static_cast<bool*>(at_program);
  const bool is_program = program;
  program = false;
  for (unsigned i = 0; !is_program && i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
    const uintptr_t dynamic = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    if (find_tag(reinterpret_cast<const ElfW(Dyn)*>(dynamic), DT_RPATH) != nullptr) return 1;
  }
  return 0;
}
bool a_library_has_path() {
  bool program = true;
  return ::dl_iterate_phdr(is_library_with_path, &program) != 0;
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
  if (file == nullptr || std::strchr(file, '$') != nullptr) return nullptr;
  Context* context = watched();
  if (context == nullptr || has_run_path(ip)) return nullptr;
  const bool searched = std::strchr(file, '/') == nullptr;
  return searched && (*file == '\0' || a_library_has_path()) ? nullptr : context;
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
