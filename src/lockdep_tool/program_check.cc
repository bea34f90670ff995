#include "lockdep_tool/program_check.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <fcntl.h>
#include <optional>
#include <string_view>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <vector>

#include "base/unique_fd.h"

namespace netfs::lockdep_tool {

namespace {

constexpr const char* kContext = "lockdep.run";
constexpr unsigned kScriptsMax = 5;

#if defined(__x86_64__)
constexpr uint16_t kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr uint16_t kMachine = EM_AARCH64;
#else
#error "an architecture without a name here"
#endif

Error refuse(int code, const std::string& path, const char* why) {
  return Error(code, kContext, path + ": " + why);
}

Result<> check_rights(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return Error::from_errno(kContext);
  const bool other_user = (status.st_mode & S_ISUID) != 0 && status.st_uid != ::geteuid();
  const bool other_group = (status.st_mode & S_ISGID) != 0 && status.st_gid != ::getegid();
  if (other_user || other_group) {
    return refuse(EPERM, path, "runs as another user (setuid); the loader would leave us out");
  }
  if (::geteuid() != 0 && ::fgetxattr(fd, "security.capability", nullptr, 0) > 0) {
    return refuse(EPERM, path, "has file capabilities; the loader would leave us out");
  }
  return {};
}

// Where an address of the program lies in its file; nullopt: nowhere.
std::optional<off_t> place_in_file(const std::vector<Elf64_Phdr>& segments, uint64_t address) {
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_LOAD || address < segment.p_vaddr) continue;
    const uint64_t inside = address - segment.p_vaddr;
    if (inside < segment.p_filesz) return static_cast<off_t>(segment.p_offset + inside);
  }
  return std::nullopt;
}

// All names that the loader deals with: of symbols and of libraries.  Empty where there are none.
std::string loader_names(int fd, const std::vector<Elf64_Phdr>& segments) {
  constexpr size_t kEntriesMax = 1000;
  constexpr size_t kNamesMax = size_t{64} << 20;
  uint64_t address = 0;
  uint64_t size = 0;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_DYNAMIC) continue;
    std::vector<Elf64_Dyn> entries(
        std::min<size_t>(segment.p_filesz / sizeof(Elf64_Dyn), kEntriesMax));
    const size_t bytes = entries.size() * sizeof(Elf64_Dyn);
    const ssize_t got = ::pread(fd, entries.data(), bytes, static_cast<off_t>(segment.p_offset));
    if (got != static_cast<ssize_t>(bytes)) return {};
    for (const Elf64_Dyn& entry : entries) {
      if (entry.d_tag == DT_STRTAB) address = entry.d_un.d_ptr;
      if (entry.d_tag == DT_STRSZ) size = entry.d_un.d_val;
    }
  }
  const std::optional<off_t> place = place_in_file(segments, address);
  if (address == 0 || !place || size > kNamesMax) return {};
  std::string names(size, '\0');
  const ssize_t got = ::pread(fd, names.data(), size, *place);
  return got == static_cast<ssize_t>(size) ? names : std::string();
}

// A sanitizer that stands before the locks itself, or that has to be the first library.
Result<> check_sanitizer(const std::string& names, const std::string& path) {
  const auto has = [&](std::string_view name) { return names.find(name) != std::string::npos; };
  if (has(std::string_view("\0__tsan_init\0", 13))) {
    return refuse(ENOEXEC, path,
                  "is built with ThreadSanitizer; build it without to watch its locks");
  }
  if (has(std::string_view("\0libasan.so", 11))) {
    return refuse(
        ENOEXEC, path,
        "is built with g++'s AddressSanitizer, which has to come first; build it without, "
        "or with -static-libasan");
  }
  return {};
}

// The segments of an ELF file; ENOEXEC when it is none for this machine.
Result<std::vector<Elf64_Phdr>> segments_of(int fd, const std::string& path) {
  Elf64_Ehdr header{};
  if (::pread(fd, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) {
    return refuse(ENOEXEC, path, "is cut short");
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != kMachine) {
    return refuse(ENOEXEC, path, "is a program of another architecture than lockdep's library");
  }
  if (header.e_phentsize != sizeof(Elf64_Phdr)) return refuse(ENOEXEC, path, "is no sound program");
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  const size_t bytes = segments.size() * sizeof(Elf64_Phdr);
  if (::pread(fd, segments.data(), bytes, static_cast<off_t>(header.e_phoff)) !=
      static_cast<ssize_t>(bytes)) {
    return refuse(ENOEXEC, path, "is cut short");
  }
  return segments;
}

Result<> check_elf(int fd, const std::string& path) {
  const std::vector<Elf64_Phdr> segments = TRY(segments_of(fd, path));
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_INTERP) return check_sanitizer(loader_names(fd, segments), path);
  }
  return refuse(ENOEXEC, path, "is statically linked; its locks cannot be seen");
}

bool begins_as_elf(int fd) {
  char head[SELFMAG] = {};
  return ::pread(fd, head, sizeof head, 0) == SELFMAG && std::memcmp(head, ELFMAG, SELFMAG) == 0;
}

// The program that a script names in its first line.
std::string interpreter(const char* line, size_t size) {
  std::string text(line + 2, size - 2);
  text = text.substr(0, text.find('\n'));
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_first_of(" \t", begin) - begin);
}

Result<> check(const std::string& path, unsigned scripts_left) {
  if (::access(path.c_str(), X_OK) != 0)
    return Error(errno, kContext, path + ": " + strerror(errno));
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return {};  // executable and not readable: the loader decides
  TRY(check_rights(fd.get(), path));
  if (begins_as_elf(fd.get())) return check_elf(fd.get(), path);
  char head[256] = {};
  const ssize_t size = ::pread(fd.get(), head, sizeof head, 0);
  if (size > 2 && head[0] == '#' && head[1] == '!' && scripts_left != 0) {
    const std::string runs_it = interpreter(head, static_cast<size_t>(size));
    if (!runs_it.empty()) return check(runs_it, scripts_left - 1);
  }
  return {};  // execvp gives it to the shell
}

}  // namespace

Result<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), F_OK) != 0)
      return Error(errno, kContext, name + ": " + strerror(errno));
    return name;
  }
  const char* variable = std::getenv("PATH");
  std::string_view folders = variable != nullptr ? variable : "/bin:/usr/bin";
  int why = ENOENT;
  for (;;) {
    const size_t end = folders.find(':');
    const std::string folder(folders.substr(0, end));
    const std::string path = (folder.empty() ? "." : folder) + "/" + name;
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
      if (::access(path.c_str(), X_OK) == 0) return path;
      why = EACCES;
    }
    if (end == std::string_view::npos) break;
    folders = folders.substr(end + 1);
  }
  return Error(why, kContext, name + ": " + (why == ENOENT ? "no such program" : strerror(why)));
}

Result<> check_program(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  if (name == "valgrind" || name == "valgrind.bin") {
    return refuse(ENOEXEC, path, "gives our library an allocator of its own; run one of the two");
  }
  return check(path, kScriptsMax);
}

Result<> check_library(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Error(errno, kContext, path + ": " + strerror(errno));
  constexpr std::string_view kOurs("\0lockdep_preload_version\0", 25);
  if (begins_as_elf(fd.get())) {
    const std::vector<Elf64_Phdr> segments = TRY(segments_of(fd.get(), path));
    if (loader_names(fd.get(), segments).find(kOurs) != std::string::npos) return {};
  }
  return refuse(ENOEXEC, path, "is not lockdep's library");
}

}  // namespace netfs::lockdep_tool
