#include "fuse/mount_table.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace netfs::fuse {

namespace {

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

// The kernel writes space, tab, newline and backslash as \ and three octal digits.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) &&
                         is_octal(text[i + 2]) && is_octal(text[i + 3]);
    if (!escaped) {
      out.push_back(text[i]);
      continue;
    }
    const int value = (text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0');
    out.push_back(static_cast<char>(value));
    i += 3;
  }
  return out;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const size_t space = line.find(' ');
    words.push_back(line.substr(0, space));
    if (space == std::string_view::npos) break;
    line.remove_prefix(space + 1);
  }
  return words;
}

std::string_view without_trailing_slashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path;
}

Result<std::string> read_mountinfo() {
  const UniqueFd fd(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (!fd) return Error::from_errno("fuse.mountinfo");
  std::string text;
  std::array<char, 16384> chunk;
  while (true) {
    const ssize_t length = ::read(fd.get(), chunk.data(), chunk.size());
    if (length < 0) return Error::from_errno("fuse.mountinfo");
    if (length == 0) return text;
    text.append(chunk.data(), static_cast<size_t>(length));
  }
}

}  // namespace

std::optional<MountEntry> parse_mount_line(std::string_view line) {
  // id parent major:minor root mount-point options [optional...] - type source super-options
  const std::vector<std::string_view> words = words_of(line);
  size_t dash = 6;
  while (dash < words.size() && words[dash] != "-") ++dash;
  if (dash + 3 >= words.size()) return {};
  return MountEntry{.device = std::string(words[2]),
                    .mount_point = unescape(words[4]),
                    .type = unescape(words[dash + 1]),
                    .source = unescape(words[dash + 2]),
                    .options = std::string(words[5]) + "," + std::string(words[dash + 3])};
}

Result<std::optional<MountEntry>> find_mount(std::string_view path) {
  const std::string text = TRY(read_mountinfo());
  const std::string_view wanted = without_trailing_slashes(path);
  std::optional<MountEntry> found;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::optional<MountEntry> entry = parse_mount_line(rest.substr(0, end));
    if (entry && entry->mount_point == wanted) found = std::move(entry);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return found;
}

}  // namespace netfs::fuse
