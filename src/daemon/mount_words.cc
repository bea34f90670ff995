#include "daemon/mount_words.h"

#include <algorithm>
#include <array>

namespace netfs::daemon {

namespace {

// Words of mount(8) that stand for one of our flags.
struct FlagWord {
  std::string_view word;
  std::string_view option;
  bool value;
};
constexpr std::array<FlagWord, 13> kFlagWords = {{{"ro", "read-only", true},
                                                  {"rw", "read-only", false},
                                                  {"suid", "suid", true},
                                                  {"nosuid", "suid", false},
                                                  {"dev", "dev", true},
                                                  {"nodev", "dev", false},
                                                  {"exec", "exec", true},
                                                  {"noexec", "exec", false},
                                                  {"noatime", "noatime", true},
                                                  {"atime", "noatime", false},
                                                  {"passthrough", "passthrough", true},
                                                  {"no_passthrough", "passthrough", false},
                                                  {"nopassthrough", "passthrough", false}}};

// What the kernel or mount(8) does with them needs nothing of ours: every change is made at once,
// so "sync" and "dirsync" ask for what is so.
constexpr std::array<std::string_view, 20> kKernelWords = {
    "relatime", "norelatime", "strictatime", "nostrictatime", "diratime",    "nodiratime", "sync",
    "async",    "dirsync",    "lazytime",    "nolazytime",    "mand",        "nomand",     "silent",
    "loud",     "iversion",   "noiversion",  "symfollow",     "nosymfollow", "norecovery"};
constexpr std::array<std::string_view, 15> kDropped = {
    "defaults", "auto",  "noauto", "nofail",  "_netdev", "user",    "nouser",
    "users",    "owner", "group",  "nogroup", "noowner", "nousers", "default_permissions",
    "nonempty"};
constexpr std::array<std::string_view, 5> kDroppedPrefixes = {"x-", "X-",
                                                              "comment=", "user=", "uhelper="};

template <class List>
bool listed(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool is_dropped(std::string_view word) {
  if (listed(kDropped, word)) return true;
  return std::any_of(
      kDroppedPrefixes.begin(), kDroppedPrefixes.end(),
      [&](std::string_view prefix) { return word.substr(0, prefix.size()) == prefix; });
}

Result<std::vector<std::string>> split(std::string_view list) {
  std::vector<std::string> words(1);
  bool quoted = false;
  for (size_t i = 0; i < list.size(); ++i) {
    const char c = list[i];
    if (c == '\0') return Error(EINVAL, "options", "the list after -o holds a NUL");
    if (c == '\\' && i + 1 < list.size()) {
      words.back() += list[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  if (quoted) return Error(EINVAL, "options", "the list after -o has a quote that does not end");
  return words;
}

// A word of our own table, or of the origin.
Result<void> take_option(const std::string& word, OptionMap& options) {
  const size_t equals = word.find('=');
  const std::string written = word.substr(0, equals);
  if (written.empty()) {
    return Error(EINVAL, "options", fmt::format("option '{}' has no name", word));
  }
  std::string name = written;
  std::replace(name.begin(), name.end(), '_', '-');
  const bool negated = name.substr(0, 3) == "no-" && find_option(name) == nullptr &&
                       find_option(name.substr(3)) != nullptr &&
                       find_option(name.substr(3))->kind == OptionKind::kFlag;
  if (negated) name = name.substr(3);
  const OptionRow* row = find_option(name);
  if (row == nullptr) {
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    options[std::string(kOriginPrefix) + written] = value;
    return {};
  }
  if (row->kind == OptionKind::kFlag) {
    if (equals != std::string::npos &&
        (negated || (word.substr(equals + 1) != "true" && word.substr(equals + 1) != "false"))) {
      return Error(EINVAL, "options", fmt::format("option {} takes no value", written));
    }
    options[name] =
        equals != std::string::npos ? word.substr(equals + 1) : (negated ? "false" : "true");
    return {};
  }
  if (equals == std::string::npos) {
    return Error(EINVAL, "options",
                 fmt::format("option {} needs a value: {}={}", written, written, row->metavar));
  }
  options[name] = word.substr(equals + 1);
  return {};
}

}  // namespace

Result<MountWords> parse_mount_words(std::string_view list) {
  MountWords parsed;
  for (const std::string& word : TRY(split(list))) {
    if (word.empty()) continue;
    if (word == "remount") {
      parsed.remount = true;
      continue;
    }
    const auto* flag = std::find_if(kFlagWords.begin(), kFlagWords.end(),
                                    [&](const FlagWord& f) { return f.word == word; });
    if (flag != kFlagWords.end()) {
      parsed.options[std::string(flag->option)] = flag->value ? "true" : "false";
      if (flag->option != "passthrough") parsed.kernel.push_back(word);
    } else if (listed(kKernelWords, word)) {
      parsed.kernel.push_back(word);
    } else if (!is_dropped(word)) {
      TRY(take_option(word, parsed.options));
    }
  }
  return parsed;
}

}  // namespace netfs::daemon
