#include "lockdep_preload/plain_symbolizer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <unwind.h>

namespace netfs::lockdep_preload {

namespace {

// What a module's dynamic section says of its symbols.
struct Symbols {
  const ElfW(Sym) * table = nullptr;
  const char* names = nullptr;
  const uint32_t* hash = nullptr;
};

Symbols symbols_of(const link_map& module) {
  Symbols out;
  for (const ElfW(Dyn)* entry = module.l_ld; entry->d_tag != DT_NULL; ++entry) {
    const auto* at = reinterpret_cast<const char*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_SYMTAB) out.table = reinterpret_cast<const ElfW(Sym)*>(at);
    if (entry->d_tag == DT_STRTAB) out.names = at;
    if (entry->d_tag == DT_GNU_HASH) out.hash = reinterpret_cast<const uint32_t*>(at);
  }
  return out;
}

// How many symbols there are: only the hash table knows.
uint32_t count_symbols(const uint32_t* hash) {
  const uint32_t buckets = hash[0];
  const uint32_t first = hash[1];
  const uint32_t* heads = hash + 4 + hash[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
  const uint32_t* chains = heads + buckets;
  uint32_t last = 0;
  for (uint32_t i = 0; i < buckets; ++i) last = heads[i] > last ? heads[i] : last;
  if (last < first) return first;
  while ((chains[last - first] & 1) == 0) ++last;
  return last + 1;
}

constexpr std::array<const char*, 9> kAllocators = {"malloc",         "calloc",   "realloc",
                                                    "free",           "memalign", "aligned_alloc",
                                                    "posix_memalign", "valloc",   "pvalloc"};
std::array<uintptr_t, kAllocators.size()> g_allocators;

_Unwind_Reason_Code look_for_allocator(_Unwind_Context* frame, void* found) {
  const uintptr_t function = _Unwind_GetRegionStart(frame);
  if (function == 0 ||
      std::find(g_allocators.begin(), g_allocators.end(), function) == g_allocators.end()) {
    return _URC_NO_REASON;
  }
  *static_cast<bool*>(found) = true;
  return _URC_END_OF_STACK;
}

}  // namespace

bool foreign_malloc() {
  static int known = -1;
  int value = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (value >= 0) return value != 0;
  dl_find_object theirs;
  dl_find_object libc;
  void* malloc_function = ::dlsym(RTLD_DEFAULT, "malloc");
  value = malloc_function != nullptr && ::_dl_find_object(malloc_function, &theirs) == 0 &&
                  ::_dl_find_object(reinterpret_cast<void*>(&::gnu_get_libc_version), &libc) == 0 &&
                  theirs.dlfo_link_map != libc.dlfo_link_map
              ? 1
              : 0;
  __atomic_store_n(&known, value, __ATOMIC_RELAXED);
  return value != 0;
}

void find_allocators() {
  for (size_t i = 0; i < kAllocators.size(); ++i) {
    g_allocators[i] = reinterpret_cast<uintptr_t>(::dlsym(RTLD_NEXT, kAllocators[i]));
  }
}

bool in_allocator() {
  bool found = false;
  _Unwind_Backtrace(look_for_allocator, &found);
  return found;
}

std::vector<lockdep::Frame> PlainSymbolizer::resolve(uintptr_t return_address) {
  lockdep::Frame frame;
  frame.address = return_address;
  dl_find_object object;
  if (::_dl_find_object(reinterpret_cast<void*>(return_address - 1), &object) != 0) return {frame};
  const link_map& module = *object.dlfo_link_map;
  frame.module_offset = return_address - module.l_addr;
  frame.in_program = module.l_name[0] == '\0';
  frame.module = frame.in_program ? program_invocation_short_name : module.l_name;
  const Symbols symbols = symbols_of(module);
  if (symbols.table == nullptr || symbols.names == nullptr || symbols.hash == nullptr)
    return {frame};
  const uint64_t value = frame.module_offset - 1;
  const uint32_t count = count_symbols(symbols.hash);
  for (uint32_t i = 0; i < count; ++i) {
    const ElfW(Sym)& symbol = symbols.table[i];
    if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
    if (value < symbol.st_value || value - symbol.st_value >= symbol.st_size) continue;
    frame.function = symbols.names + symbol.st_name;
    frame.offset = frame.module_offset - symbol.st_value;
    frame.length = symbol.st_size;
    break;
  }
  return {frame};
}

}  // namespace netfs::lockdep_preload
