#include "lockdep_preload/cxx_library.h"

#include <array>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

#include "lockdep_preload/real.h"

namespace netfs::lockdep_preload {

namespace {

constexpr std::array<std::string_view, 2> kNews = {"_Znwm", "_ZnwmRKSt9nothrow_t"};
constexpr std::array<std::string_view, 3> kGuards = {"__cxa_guard_acquire", "__cxa_guard_release",
                                                     "__cxa_guard_abort"};

// The loader passes over a symbol that has no place.
void hide(ElfW(Sym) & symbol) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(&symbol) & ~(page - 1);
  const uintptr_t end = reinterpret_cast<uintptr_t>(&symbol + 1);
  void* place = reinterpret_cast<void*>(begin);
  if (::mprotect(place, end - begin, PROT_READ | PROT_WRITE) != 0) return;
  symbol.st_value = 0;
  symbol.st_shndx = SHN_UNDEF;
  (void)::mprotect(place, end - begin, PROT_READ);
}

template <size_t kCount>
void hide_all(const std::array<std::string_view, kCount>& names) {
  for (const std::string_view name : names) {
    Dl_info found;
    ElfW(Sym)* symbol = nullptr;
    void* own = ::dlsym(RTLD_DEFAULT, name.data());
    const bool known = own != nullptr && ::dladdr1(own, &found, reinterpret_cast<void**>(&symbol),
                                                   RTLD_DL_SYMENT) != 0;
    Dl_info us;
    const bool ours = known && ::dladdr(reinterpret_cast<void*>(&find_cxx_library), &us) != 0 &&
                      us.dli_fbase == found.dli_fbase;
    if (ours && symbol != nullptr) hide(*symbol);
  }
}

}  // namespace

void find_cxx_library() {
  if (!find_operator_new()) hide_all(kNews);
  if (!find_guards()) hide_all(kGuards);
}

}  // namespace netfs::lockdep_preload
