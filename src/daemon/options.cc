#include "daemon/options.h"

#include <array>

#include "daemon/bandwidth.h"
#include "journal/limits.h"

namespace netfs::daemon {

namespace {

Result<void> set_flag(bool& to, const std::string& text) {
  if (text != "true" && text != "false") {
    return Error(EINVAL, "options", fmt::format("'{}' is neither true nor false", text));
  }
  to = text == "true";
  return {};
}

Result<void> set_path(std::string& to, const std::string& text) {
  if (text.empty() || text.front() != '/' || text.find('\0') != std::string::npos) {
    return Error(EINVAL, "options", fmt::format("'{}' is not an absolute path", text));
  }
  to = text;
  return {};
}

Result<void> set_duration(Duration& to, const std::string& text) {
  to = TRY(parse_duration(text));
  return {};
}

Result<void> set_timeout(Duration& to, const std::string& text) {
  const Duration timeout = TRY(parse_duration(text));
  if (timeout < std::chrono::milliseconds(1) || timeout > std::chrono::hours(24)) {
    return Error(EINVAL, "options", "a timeout lies between 1ms and 1d");
  }
  to = timeout;
  return {};
}

Result<void> set_number(std::optional<uint32_t>& to, const std::string& text, int base,
                        uint32_t max) {
  to = TRY(parse_number(text, base, max));
  return {};
}

template <class T, size_t N>
Result<void> set_choice(T& to, const std::string& text,
                        const std::array<std::pair<std::string_view, T>, N>& choices) {
  std::string known;
  for (const auto& [name, value] : choices) {
    if (name == text) {
      to = value;
      return {};
    }
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  return Error(EINVAL, "options", fmt::format("'{}' is none of: {}", text, known));
}

Result<void> set_read_only(MountOptions& options, const std::string& text) {
  bool read_only = true;
  TRY(set_flag(read_only, text));
  options.read_only = read_only;
  options.asked_read_write = !read_only;
  return {};
}

Result<void> set_memory(uint64_t& to, const std::string& text) {
  const uint64_t bytes = TRY(parse_size(text));
  if (bytes < (16 << 20)) return Error(EINVAL, "options", "16M is the least that works");
  to = bytes;
  return {};
}

Result<void> set_journal(uint64_t& to, const std::string& text) {
  const uint64_t bytes = TRY(parse_size(text));
  if (bytes < journal::kJournalBytesLeast) {
    return Error(EINVAL, "options", "128M is the least that works");
  }
  to = bytes;
  return {};
}

using std::pair;
using std::string;
using std::string_view;

constexpr std::array<pair<string_view, OnError>, 3> kOnError = {
    {{"error", OnError::kError}, {"wait", OnError::kWait}, {"stale", OnError::kStale}}};
constexpr std::array<pair<string_view, Symlinks>, 2> kSymlinks = {
    {{"contain", Symlinks::kContain}, {"as-is", Symlinks::kAsIs}}};
constexpr std::array<pair<string_view, telemetry::LogLevel>, 4> kLogLevels = {
    {{"debug", telemetry::LogLevel::kDebug},
     {"info", telemetry::LogLevel::kInfo},
     {"warn", telemetry::LogLevel::kWarn},
     {"error", telemetry::LogLevel::kError}}};
constexpr std::array<pair<string_view, WriteMode>, 4> kWrite = {{{"no", WriteMode::kNo},
                                                                 {"through", WriteMode::kThrough},
                                                                 {"close", WriteMode::kClose},
                                                                 {"back", WriteMode::kBack}}};
constexpr std::array<pair<string_view, bool>, 2> kTransport = {{{"device", false}, {"ring", true}}};
constexpr std::array<pair<string_view, bool>, 2> kVerify = {{{"sealing", false}, {"always", true}}};
constexpr std::array<pair<string_view, bool>, 2> kRevalidate = {
    {{"first", false}, {"behind", true}}};

constexpr auto kFlag = OptionKind::kFlag;
constexpr auto kValue = OptionKind::kValue;
constexpr auto kPath = OptionKind::kPath;
constexpr uint32_t kIdMax = UINT32_MAX - 1;  // (uid_t)-1 means "no change" to the kernel

constexpr string_view kCache = "Cache";
constexpr string_view kFresh = "Freshness";
constexpr string_view kOrigin = "Origin";
constexpr string_view kAccess = "Access";
constexpr string_view kRunning = "Running";

using O = MountOptions&;
using V = const string&;

// clang-format off
const std::array kTable = {
    OptionRow{"cache-dir", kPath, "DIR", kCache,
              "where cached data lives (default: $XDG_CACHE_HOME/netfs or ~/.cache/netfs;\n"
              "/var/cache/netfs for root)",
              [](O o, V v) { return set_path(o.cache_dir, v); }},
    OptionRow{"cache-size", kValue, "SIZE", kCache,
              "hard limit: K, M, G, T, or % of the disk (default 10%)",
              [](O o, V v) -> Result<void> {
                o.cache_size = TRY(parse_disk_amount(v));
                return {};
              }},
    OptionRow{"journal-size", kValue, "SIZE", kCache,
              "what --write=back may keep here until it is uploaded, a tree (default 8G)",
              [](O o, V v) { return set_journal(o.journal_bytes, v); }},
    OptionRow{"no-cache", kFlag, "", kCache, "keep nothing on the local disk",
              [](O o, V v) { return set_flag(o.no_cache, v); }},
    OptionRow{"memory", kValue, "SIZE", kCache, "buffers for data in transit (default 96M)",
              [](O o, V v) { return set_memory(o.memory_bytes, v); }},
    OptionRow{"verify", kValue, "WHEN", kCache,
              "sealing: checksums before a file is handed to the kernel, and of each page that\n"
              "the daemon serves (default); always: of every read, without passthrough",
              [](O o, V v) { return set_choice(o.verify_always, v, kVerify); }},
    OptionRow{"metadata-ttl", kValue, "TIME", kFresh,
              "how long attributes are believed: 500ms, 5s, 1h, forever (default 5s)",
              [](O o, V v) { return set_duration(o.metadata_ttl, v); }},
    OptionRow{"negative-ttl", kValue, "TIME", kFresh,
              "how long an absent name is believed absent (default 1s)",
              [](O o, V v) { return set_duration(o.negative_ttl, v); }},
    OptionRow{"revalidate", kValue, "WHEN", kFresh,
              "first (default): what is known and older is looked at; behind: it is shown until\n"
              "a look behind that is back (read-only mounts; opens look first)",
              [](O o, V v) { return set_choice(o.revalidate_behind, v, kRevalidate); }},
    OptionRow{"immutable", kFlag, "", kFresh, "the tree never changes: ask only once",
              [](O o, V v) { return set_flag(o.immutable, v); }},
    OptionRow{"hot", kValue, "TIME", kFresh,
              "a file changed more recently may still grow: the kernel does not get it\n"
              "(default 60s)",
              [](O o, V v) { return set_duration(o.hot, v); }},
    OptionRow{"timeout", kValue, "TIME", kOrigin, "bound of every wait on the origin (default 30s)",
              [](O o, V v) { return set_timeout(o.timeout, v); }},
    OptionRow{"on-error", kValue, "POLICY", kOrigin,
              "when the origin cannot be reached: error, wait, or stale (what the cache has)",
              [](O o, V v) { return set_choice(o.on_error, v, kOnError); }},
    OptionRow{"bwlimit", kValue, "RATE", kOrigin,
              "bytes of files a second: 10M both ways, 1M:10M to the origin and from it, off\n"
              "(default); netfs bwlimit changes it",
              [](O o, V v) -> Result<void> {
                o.bandwidth = TRY(parse_bandwidth(v));
                return {};
              }},
    OptionRow{"simulate", kValue, "LINK", kOrigin,
              "pretend a slow link, for trials: rtt=20ms,bandwidth=1Gbit",
              [](O o, V v) -> Result<void> {
                o.simulate = v;
                return {};
              }},
    OptionRow{"write", kValue, "HOW", kAccess,
              "no: a read-only mount (default); close: a writable one, and what was written is at\n"
              "the origin when close or fsync returns; through: when each write returns;\n"
              "back: on the local disk when fsync returns, at the origin later",
              [](O o, V v) { return set_choice(o.write, v, kWrite); }},
    OptionRow{"read-only", kFlag, "", kAccess, "refuse writes, whatever else is said",
              [](O o, V v) { return set_read_only(o, v); }},
    OptionRow{"allow-other", kFlag, "", kAccess, "let other users in, as file modes say",
              [](O o, V v) { return set_flag(o.allow_other, v); }},
    OptionRow{"uid", kValue, "N", kAccess, "show every file as owned by this user",
              [](O o, V v) { return set_number(o.uid, v, 10, kIdMax); }},
    OptionRow{"gid", kValue, "N", kAccess, "show every file as owned by this group",
              [](O o, V v) { return set_number(o.gid, v, 10, kIdMax); }},
    OptionRow{"umask", kValue, "OCTAL", kAccess, "permission bits to hide, such as 022",
              [](O o, V v) { return set_number(o.umask, v, 8, 0777); }},
    OptionRow{"symlinks", kValue, "HOW", kAccess,
              "contain: a link that leads out of the mount is refused (default); as-is",
              [](O o, V v) { return set_choice(o.symlinks, v, kSymlinks); }},
    OptionRow{"dev", kFlag, "", kAccess, "honour device files",
              [](O o, V v) { return set_flag(o.dev, v); }},
    OptionRow{"suid", kFlag, "", kAccess, "honour set-user-ID bits",
              [](O o, V v) { return set_flag(o.suid, v); }},
    OptionRow{"exec", kFlag, "", kAccess, "allow running programs (default)",
              [](O o, V v) { return set_flag(o.exec, v); }},
    OptionRow{"noatime", kFlag, "", kAccess, "as for mount(8)",
              [](O o, V v) { return set_flag(o.noatime, v); }},
    OptionRow{"passthrough", kFlag, "", kRunning,
              "let the kernel read complete files by itself (default; needs root)",
              [](O o, V v) { return set_flag(o.passthrough, v); }},
    OptionRow{"transport", kValue, "HOW", kRunning,
              "device: requests come from /dev/fuse (default); ring: by io_uring, faster for what\n"
              "the daemon answers, but a daemon that dies takes the mount with it",
              [](O o, V v) { return set_choice(o.over_ring, v, kTransport); }},
    OptionRow{"foreground", kFlag, "", kRunning, "stay until it is unmounted; end it by SIGTERM",
              [](O o, V v) { return set_flag(o.foreground, v); }},
    OptionRow{"log-file", kPath, "FILE", kRunning, "where the daemon's log goes",
              [](O o, V v) { return set_path(o.log_file, v); }},
    OptionRow{"log-level", kValue, "LEVEL", kRunning, "debug, info, warn or error (default info)",
              [](O o, V v) { return set_choice(o.log_level, v, kLogLevels); }},
};
// clang-format on

}  // namespace

std::span<const OptionRow> option_table() {
  return kTable;
}

const OptionRow* find_option(std::string_view name) {
  for (const OptionRow& row : kTable) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

Result<MountOptions> parse_options(const OptionMap& map) {
  MountOptions options;
  options.read_only = false;  // until somebody says so, below
  for (const auto& [name, value] : map) {
    if (std::string_view(name).substr(0, kOriginPrefix.size()) == kOriginPrefix) {
      options.origin[name.substr(kOriginPrefix.size())] = value;
      continue;
    }
    const OptionRow* row = find_option(name);
    if (row == nullptr) {
      return Error(EINVAL, "options",
                   fmt::format("unknown option '{}'; netfs mount --help lists them", name));
    }
    const Result<void> set = row->set(options, value);
    if (!set.ok()) {
      return Error(EINVAL, "options", fmt::format("option {}: {}", name, set.error().detail()));
    }
  }
  if (options.verify_always) options.passthrough = false;
  if (options.write == WriteMode::kNo) options.read_only = true;
  if (options.read_only) options.write = WriteMode::kNo;
  if (options.revalidate_behind && options.write != WriteMode::kNo) {
    return Error(EINVAL, "options", "a mount that writes looks first (revalidate=first)");
  }
  if (options.immutable && options.write != WriteMode::kNo) {
    return Error(EINVAL, "options", "a tree that never changes (immutable) cannot be written");
  }
  if (options.no_cache && options.write == WriteMode::kBack) {
    return Error(EINVAL, "options",
                 "write=back keeps its journal in the cache directory: not with no-cache");
  }
  return options;
}

OptionMap merge(OptionMap under, const OptionMap& over) {
  for (const auto& [name, value] : over) under[name] = value;
  return under;
}

}  // namespace netfs::daemon
