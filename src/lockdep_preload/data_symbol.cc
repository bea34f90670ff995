#include "lockdep_preload/data_symbol.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/unique_fd.h"

// Of libstdc++, in its archive only, with which this library is linked; declared by no header.  Its
// memory is the stack's, and names of more than a thousand characters are not taken.
extern "C" int __gcclibcxx_demangle_callback(const char* mangled,
                                             void (*append)(const char*, size_t, void*), void* to);

namespace netfs::lockdep_preload {

namespace {

// A file mapped for reading; empty where that cannot be.
class MappedFile {
 public:
  explicit MappedFile(const char* path) {
    const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0 || status.st_size <= 0) return;
    void* memory =
        ::mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (memory == MAP_FAILED) return;
    bytes_ = {static_cast<const char*>(memory), static_cast<size_t>(status.st_size)};
  }
  ~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Null where the file is not that long.
  template <class T>
  [[nodiscard]] const T* at(uint64_t offset, uint64_t count = 1) const {
    if (count > bytes_.size() / sizeof(T) || offset > bytes_.size() - count * sizeof(T))
      return nullptr;
    return reinterpret_cast<const T*>(bytes_.data() + offset);
  }
  // The text that begins there; empty where it does not end in the file.
  [[nodiscard]] std::string_view text(uint64_t offset) const {
    if (offset >= bytes_.size()) return {};
    const std::string_view rest = bytes_.substr(offset);
    const size_t end = rest.find('\0');
    return end == std::string_view::npos ? std::string_view() : rest.substr(0, end);
  }

 private:
  std::string_view bytes_;
};

struct Found {
  std::string_view name;
  uint64_t offset = 0;
};

// The object in whose bytes `value` lies, by one symbol table.
Found look(const MappedFile& file, const Elf64_Shdr& table, const Elf64_Shdr& names,
           uint64_t value) {
  const uint64_t count = table.sh_size / sizeof(Elf64_Sym);
  const auto* symbols = file.at<Elf64_Sym>(table.sh_offset, count);
  if (symbols == nullptr) return {};
  for (uint64_t i = 0; i < count; ++i) {
    const Elf64_Sym& symbol = symbols[i];
    if (ELF64_ST_TYPE(symbol.st_info) != STT_OBJECT || symbol.st_shndx == SHN_UNDEF) continue;
    if (value < symbol.st_value || value - symbol.st_value >= symbol.st_size) continue;
    return {.name = file.text(names.sh_offset + symbol.st_name), .offset = value - symbol.st_value};
  }
  return {};
}

Found look(const MappedFile& file, uint64_t value) {
  const auto* header = file.at<Elf64_Ehdr>(0);
  if (header == nullptr || header->e_shentsize != sizeof(Elf64_Shdr)) return {};
  const auto* sections = file.at<Elf64_Shdr>(header->e_shoff, header->e_shnum);
  if (sections == nullptr) return {};
  for (const uint32_t wanted : {uint32_t{SHT_SYMTAB}, uint32_t{SHT_DYNSYM}}) {
    for (unsigned i = 0; i < header->e_shnum; ++i) {
      const Elf64_Shdr& table = sections[i];
      if (table.sh_type != wanted || table.sh_link >= header->e_shnum) continue;
      const Found found = look(file, table, sections[table.sh_link], value);
      if (!found.name.empty()) return found;
    }
  }
  return {};
}

// A report may be made where a handler has interrupted malloc: abi::__cxa_demangle would call it.
std::string readable(std::string_view name) {
  const std::string mangled(name);
  if (mangled.rfind("_Z", 0) != 0) return mangled;
  std::string out;
  const auto append = [](const char* text, size_t size, void* to) {
    static_cast<std::string*>(to)->append(text, size);
  };
  return __gcclibcxx_demangle_callback(mangled.c_str(), append, &out) == 0 ? out : mangled;
}

std::string with_offset(std::string name, uint64_t offset) {
  if (offset == 0) return name;
  char text[32];
  std::snprintf(text, sizeof text, "+0x%llx", static_cast<unsigned long long>(offset));
  return name + text;
}

}  // namespace

std::string data_symbol(uintptr_t address) {
  dl_find_object object;
  if (::_dl_find_object(reinterpret_cast<void*>(address), &object) != 0) {
    return with_offset("memory", address);
  }
  const link_map* module = object.dlfo_link_map;
  const uint64_t value = address - module->l_addr;
  const bool program = module->l_name[0] == '\0';
  const char* path = program ? "/proc/self/exe" : module->l_name;
  const MappedFile file(path);
  const Found found = look(file, value);
  if (!found.name.empty()) return with_offset(readable(found.name), found.offset);
  const char* slash = std::strrchr(module->l_name, '/');
  const std::string name = program            ? program_invocation_short_name
                           : slash != nullptr ? slash + 1
                                              : module->l_name;
  return with_offset(name, value);
}

}  // namespace netfs::lockdep_preload
