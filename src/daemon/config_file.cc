#include "daemon/config_file.h"

#include <fcntl.h>
#include <sys/stat.h>

// Without exceptions the parser returns a result; Debian's library is built with them.
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
// What a wrong file does is said by the parser's errors, in all builds as with NDEBUG.
#define TOML_ASSERT(...) static_cast<void>(0)
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <toml++/toml.h>

#include "base/unique_fd.h"

namespace netfs::daemon {

namespace {

constexpr size_t kConfigBytesMax = 1 << 20;

Error bad_at(const std::string& name, const toml::source_region& where, const std::string& what) {
  return Error(EINVAL, "config", fmt::format("{}:{}: {}", name, where.begin.line, what));
}

// A scalar as text: what the flag of that name would have been given.
Result<std::string> text_of(const std::string& name, std::string_view key, const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return std::string(flag->get() ? "true" : "false");
  return bad_at(name, node.source(),
                fmt::format("'{}' must be a string, a whole number, true or false", key));
}

Result<void> take_origin(const std::string& name, const toml::node& node, OptionMap& options) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return bad_at(name, node.source(), "'origin' must be a table: [origin]");
  for (const auto& [key, value] : *table) {
    options[std::string(kOriginPrefix) + std::string(key.str())] =
        TRY(text_of(name, key.str(), value));
  }
  return {};
}

Result<void> take_key(const std::string& name, std::string_view written, const toml::node& node,
                      OptionMap& options) {
  std::string key(written);
  std::replace(key.begin(), key.end(), '_', '-');
  if (key == "origin") return take_origin(name, node, options);
  const OptionRow* row = find_option(key);
  if (row == nullptr) {
    return bad_at(name, node.source(),
                  fmt::format("unknown key '{}'; keys are the long flags of netfs mount", written));
  }
  const std::string value = TRY(text_of(name, written, node));
  MountOptions scratch;
  const Result<void> set = row->set(scratch, value);
  if (!set.ok()) {
    return bad_at(name, node.source(), fmt::format("'{}': {}", written, set.error().detail()));
  }
  options[key] = value;
  return {};
}

// What of a line is wrong, or null.  The library asserts on control characters, which TOML does not
// have, and its test for white space is undefined for many characters beyond ASCII: those may stand
// in lines of comment only, and in strings as escapes, which is TOML too.
const char* wrong_with(std::string_view line) {
  if (line.find("\"\"\"") != line.npos || line.find("'''") != line.npos) {
    return "strings over several lines are not known here";
  }
  const size_t first = line.find_first_not_of(" \t");
  const bool comment = first != line.npos && line[first] == '#';
  for (const char c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t' && c != '\r') || byte == 0x7f) return "a control character";
    if (byte >= 0x80 && !comment) return "a letter beyond ASCII; write it as \\u and its number";
  }
  return nullptr;
}

Result<void> check_lines(std::string_view text, const std::string& name) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  for (uint64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (const char* wrong = wrong_with(text.substr(0, end)); wrong != nullptr) {
      return Error(EINVAL, "config", fmt::format("{}:{}: {}", name, number, wrong));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

}  // namespace

Result<OptionMap> parse_config(std::string_view text, const std::string& name) {
  TRY(check_lines(text, name));
  const toml::parse_result parsed = toml::parse(text, name);
  if (!parsed) {
    return bad_at(name, parsed.error().source(), std::string(parsed.error().description()));
  }
  OptionMap options;
  for (const auto& [key, node] : parsed.table()) {
    TRY(take_key(name, key.str(), node, options));
  }
  return options;
}

Result<OptionMap> read_config(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR) return OptionMap{};
    const Error error = Error::from_errno("config");
    return Error(error.code(), "config",
                 fmt::format("cannot read {}: {}", path, std::strerror(error.code())));
  }
  std::string text(kConfigBytesMax + 1, '\0');
  size_t length = 0;
  while (length < text.size()) {
    const ssize_t got = ::read(fd.get(), text.data() + length, text.size() - length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const Error error = Error::from_errno("config");
      return Error(error.code(), "config",
                   fmt::format("cannot read {}: {}", path, std::strerror(error.code())));
    }
    if (got == 0) break;
    length += static_cast<size_t>(got);
  }
  if (length > kConfigBytesMax) {
    return Error(EFBIG, "config",
                 fmt::format("{} is longer than 1 MiB: not a configuration", path));
  }
  text.resize(length);
  return parse_config(text, path);
}

std::vector<std::string> config_paths() {
  std::vector<std::string> paths = {"/etc/netfs/netfs.toml"};
  const char* config_home = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (config_home != nullptr && config_home[0] == '/') {
    paths.push_back(std::string(config_home) + "/netfs/netfs.toml");
  } else if (home != nullptr && home[0] == '/') {
    paths.push_back(std::string(home) + "/.config/netfs/netfs.toml");
  }
  return paths;
}

}  // namespace netfs::daemon
