#include "lockdep/module_of.h"

#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

namespace netfs::lockdep {
namespace {

size_t rounded(size_t bytes) {
  return (bytes + 3) / 4 * 4;
}

// The build-id among the notes of one segment; sizes are rounded up to words of 4 bytes.
void find_build_id(const unsigned char* notes, size_t left, Module& module) {
  while (left >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, notes, sizeof note);
    notes += sizeof note;
    left -= sizeof note;
    const size_t name = rounded(note.n_namesz);
    const size_t content = rounded(note.n_descsz);
    if (left < name || left - name < content) return;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
        std::memcmp(notes, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0) {
      module.build_id = notes + name;
      module.build_id_bytes = note.n_descsz;
      return;
    }
    notes += name + content;
    left -= name + content;
  }
}

class Cut {
 public:
  Cut(char* text, size_t bytes) : text_(text), left_(bytes) {}
  void put(char c) {
    if (left_ < 2) return;
    text_[size_++] = c;
    --left_;
  }
  void put_hex(uint64_t value) {
    int shift = 60;
    while (shift > 0 && value >> shift == 0) shift -= 4;
    for (; shift >= 0; shift -= 4) put("0123456789abcdef"[value >> shift & 15]);
  }
  size_t end() {
    if (left_ != 0) text_[size_] = '\0';
    return size_;
  }

 private:
  char* text_;
  size_t left_;
  size_t size_ = 0;
};

}  // namespace

bool module_of(uintptr_t address, Module& module) {
  dl_find_object found;
  if (_dl_find_object(reinterpret_cast<void*>(address), &found) != 0) return false;
  const auto* map = found.dlfo_link_map;
  module = {.path = map->l_name == nullptr ? "" : map->l_name, .bias = map->l_addr};
  // A module's first bytes are those of its file, its header, if it was linked in the usual way.
  const auto* start = static_cast<const unsigned char*>(found.dlfo_map_start);
  ElfW(Ehdr) header;
  std::memcpy(&header, start, sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return true;
  if (header.e_phentsize != sizeof(ElfW(Phdr))) return true;
  const auto mapped =
      static_cast<size_t>(static_cast<const unsigned char*>(found.dlfo_map_end) - start);
  if (header.e_phoff > mapped || mapped - header.e_phoff < header.e_phnum * sizeof(ElfW(Phdr))) {
    return true;
  }
  for (size_t i = 0; i < header.e_phnum && module.build_id == nullptr; ++i) {
    ElfW(Phdr) segment;
    std::memcpy(&segment, start + header.e_phoff + i * sizeof segment, sizeof segment);
    if (segment.p_type != PT_NOTE) continue;
    find_build_id(reinterpret_cast<const unsigned char*>(module.bias + segment.p_vaddr),
                  segment.p_memsz, module);
  }
  return true;
}

size_t stable_place(uintptr_t address, char* text, size_t bytes) {
  constexpr size_t kBuildIdMax = 20;
  Cut out(text, bytes);
  Module module;
  if (!module_of(address, module)) return out.end();
  if (module.build_id != nullptr) {
    for (size_t i = 0; i < module.build_id_bytes && i < kBuildIdMax; ++i) {
      out.put("0123456789abcdef"[module.build_id[i] >> 4]);
      out.put("0123456789abcdef"[module.build_id[i] & 15]);
    }
  } else {
    const char* slash = std::strrchr(module.path, '/');
    for (const char* at = slash == nullptr ? module.path : slash + 1; *at != '\0'; ++at) {
      out.put(*at);
    }
  }
  for (const char* at = "+0x"; *at != '\0'; ++at) out.put(*at);
  out.put_hex(address - module.bias);
  return out.end();
}

}  // namespace netfs::lockdep
