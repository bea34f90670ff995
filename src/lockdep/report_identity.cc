#include "lockdep/report_identity.h"

#include <cerrno>
#include <cstring>
#include <elf.h>
#include <link.h>
#include <span>
#include <sys/auxv.h>
#include <unistd.h>

#include "lockdep/text_format.h"

namespace netfs::lockdep {
namespace {

std::string hex_of(std::span<const unsigned char> bytes) {
  std::string text;
  for (const unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

// Searches the notes of one segment; sizes are rounded up to words of 4 bytes.
std::string build_id_in(std::span<const unsigned char> notes) {
  const auto rounded = [](size_t bytes) { return (bytes + 3) / 4 * 4; };
  while (notes.size() >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, notes.data(), sizeof note);
    notes = notes.subspan(sizeof note);
    const size_t name = rounded(note.n_namesz);
    if (notes.size() < name || notes.size() - name < note.n_descsz) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
        std::memcmp(notes.data(), ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0) {
      return hex_of(notes.subspan(name, note.n_descsz));
    }
    if (notes.size() - name < rounded(note.n_descsz)) break;
    notes = notes.subspan(name + rounded(note.n_descsz));
  }
  return {};
}

// From the headers that the kernel told of: no loader's lock, no file.
std::string program_build_id() {
  const auto* first = reinterpret_cast<const ElfW(Phdr)*>(getauxval(AT_PHDR));
  const std::span<const ElfW(Phdr)> headers(first, first == nullptr ? 0 : getauxval(AT_PHNUM));
  uintptr_t bias = 0;
  for (const ElfW(Phdr) & header : headers) {
    if (header.p_type == PT_PHDR) bias = reinterpret_cast<uintptr_t>(first) - header.p_vaddr;
  }
  for (const ElfW(Phdr) & header : headers) {
    if (header.p_type != PT_NOTE) continue;
    const auto* notes = reinterpret_cast<const unsigned char*>(bias + header.p_vaddr);
    if (std::string id = build_id_in({notes, header.p_memsz}); !id.empty()) return id;
  }
  return {};
}

}  // namespace

ReportIdentity own_identity(std::string version) {
  return {.program = program_invocation_short_name,
          .version = std::move(version),
          .build_id = program_build_id(),
          .process = getpid()};
}

std::string identity_line(const ReportIdentity& identity) {
  constexpr size_t kDigits = 16;
  std::string line = printable(identity.program);
  if (!identity.version.empty()) line += " " + printable(identity.version);
  if (!identity.build_id.empty()) line += " build-id " + identity.build_id.substr(0, kDigits);
  return line;
}

}  // namespace netfs::lockdep
