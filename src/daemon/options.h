#pragma once
// Options of one mount: their names as text, and what they mean.
//
// An OptionMap is what the user said, from whichever place (flag, -o word, configuration file), by
// canonical name: that of the long flag, "cache-dir".  An option of the origin's own is kept as
// "origin.NAME", with NAME as its module spells it, "origin.known_hosts".  This map is what travels
// to the daemon; parse_options() makes it a MountOptions, on both sides, so nothing is believed
// unchecked.  Flags hold "true" or "false".
//
// Errors: EINVAL with a sentence that names the option.
//
//   MountOptions options = TRY(parse_options({{"timeout", "10s"}, {"read-only", "true"}}));

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "daemon/quantity.h"
#include "netfs/limited_origin.h"
#include "telemetry/log.h"
#include "vfs/options.h"

namespace netfs::daemon {

using OptionMap = std::map<std::string, std::string>;

inline constexpr std::string_view kOriginPrefix = "origin.";

using vfs::OnError;
using WriteMode = vfs::Options::Write;
using vfs::Symlinks;

struct MountOptions {
  // The cache; of the first mount on a cache directory, the rest share it.
  std::string cache_dir;  // absolute, or empty: the default one
  DiskAmount cache_size{.percent = 10};
  uint64_t journal_bytes = 8ULL << 30;  // of one tree, with --write=back
  bool no_cache = false;
  uint64_t memory_bytes = 96 << 20;

  // Coherency.
  Duration metadata_ttl = std::chrono::seconds(5);
  Duration negative_ttl = std::chrono::seconds(1);
  Duration hot = std::chrono::seconds(60);
  bool revalidate_behind = false;
  bool immutable = false;
  bool verify_always = false;

  // The origin.
  Duration timeout = std::chrono::seconds(30);
  OnError on_error = OnError::kError;
  std::string simulate;  // "rtt=20ms,bandwidth=1Gbit"
  Bandwidth bandwidth;   // as it is to begin with
  std::map<std::string, std::string> origin;

  // Who sees what.
  WriteMode write = WriteMode::kNo;
  bool read_only = true;          // unless `write` says how, and nobody said "ro"
  bool asked_read_write = false;  // "rw", which mount(8) says of every mount: means nothing alone
  bool allow_other = false;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::optional<uint32_t> umask;
  Symlinks symlinks = Symlinks::kContain;
  bool dev = false;
  bool suid = false;
  bool exec = true;
  bool noatime = false;

  // How it runs.
  bool passthrough = true;
  bool over_ring = false;  // requests come by io_uring where the kernel offers it
  bool foreground = false;
  std::string log_file;
  telemetry::LogLevel log_level = telemetry::LogLevel::kInfo;
};

enum class OptionKind { kFlag, kValue, kPath };

// One row of the table of options: long flag, -o word (with '_') and configuration key alike.
struct OptionRow {
  std::string_view name;
  OptionKind kind;
  std::string_view metavar;  // of values
  std::string_view group;    // heading in --help
  std::string_view help;
  Result<void> (*set)(MountOptions&, const std::string&);
};

std::span<const OptionRow> option_table();
// Null for a name that is not in the table.
const OptionRow* find_option(std::string_view name);

Result<MountOptions> parse_options(const OptionMap& map);

// `over` on top of `under`.
OptionMap merge(OptionMap under, const OptionMap& over);

}  // namespace netfs::daemon
