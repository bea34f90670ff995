#pragma once
// Options of one mounted file system, and its counters.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "telemetry/counter.h"
#include "vfs/limits.h"

namespace netfs::vfs {

// What a call answers while the origin cannot be reached.
enum class OnError : uint8_t {
  kError,  // the error
  kWait,   // nothing, until it can be reached again or the caller is interrupted
  kStale,  // what is known, however old; the error where nothing is
};

// What a symbolic link may point to.
enum class Symlinks : uint8_t {
  kContain,  // a target that stays beneath the mount, see links.h; any other answers EACCES
  kAsIs,     // whatever the origin says
};

// Whose hidden names are whose: hidden_names.h.
struct Hiding {
  uint32_t client = 0;  // the same at every start; 0: names of processes before are not looked for
  uint32_t process = 0;
};

struct Options {
  enum class Write : uint8_t {
    kNo,       // everything that modifies is EROFS
    kThrough,  // a change is at the origin when its call returns
    kClose,    // the bytes of a write are when close or fsync returns, all else as kThrough
    kBack,     // as kThrough, to an origin that is a journal in front of another
  };
  Write write = Write::kNo;
  Duration timeout = std::chrono::seconds(30);      // of every wait on the origin
  Duration metadata_ttl = std::chrono::seconds(5);  // names and attributes are believed that long
  Duration negative_ttl = std::chrono::seconds(5);  // and that a name does not exist
  // What is known and older than that is shown first, and looked at behind it; opens look first.
  bool revalidate_behind = false;
  bool immutable = false;                   // believed for ever; OPEN is answered ENOSYS
  Duration hot = std::chrono::seconds(60);  // files changed within it are not handed to the kernel
  OnError on_error = OnError::kError;
  Symlinks symlinks = Symlinks::kContain;
  // Where the mounted tree lies at the origin, "/srv/data"; empty where nobody knows.  With it, a
  // contained link to /srv/data/x is shown as a relative one.
  std::string remote_root;
  std::optional<uint32_t> uid;  // owner shown for everything
  std::optional<uint32_t> gid;
  std::optional<uint32_t> umask;  // permissions taken away from everything
  // The kernel checks permissions, so it asks for a directory after each change in it.
  bool asks_for_directories = false;
  // Tells this process's nodeids from those of one before it on the same connection: another value
  // at every start.  0 draws a random one, which is the same as the one before once in 65,535.
  uint16_t epoch = 0;
  Hiding hiding;
  size_t unreferenced_nodes_max = kUnreferencedNodesMax;
  Duration lock_close_grace = kLockCloseGrace;  // a test may have patience
};

// Whether what was seen once is believed for as long as the mount lives.
[[nodiscard]] inline bool believes_for_ever(const Options& options) {
  return options.immutable || options.metadata_ttl == Duration::max();
}
// Whether names that outlive the process can be of use to one after it: stored_names.cc.
[[nodiscard]] bool keeps_names(const Options& options);

// Why an open was not handed to the kernel.
enum class NotHandedOut : uint8_t {
  kNotNegotiated,  // no passthrough on this connection
  kNotSealed,      // the cache does not have all of it
  kHot,            // changed too recently, or while it was open: it may be growing
  kOpenOtherwise,  // an open through the daemon was there before
  kRefused,        // the kernel or the cache said no
  kCount,
};

// What is in memory.
struct Sizes {
  size_t nodes = 0;
  size_t handles = 0;
  size_t idle_files = 0;
  size_t waiting = 0;
  size_t looks_behind = 0;  // under way
  uint64_t ino_collisions = 0;
  size_t locked_files = 0;  // of which something is locked at the origin
  size_t lock_owners = 0;   // of those locks
  size_t lock_waiters = 0;
};

struct Counters {
  telemetry::Counter lookups;
  telemetry::Counter lookup_hits;  // answered from memory
  telemetry::Counter negative_hits;
  telemetry::Counter revalidations;       // stat calls of the origin
  telemetry::Counter listings;            // list calls of the origin
  telemetry::Counter stored_listings;     // taken from the cache instead
  telemetry::Counter stored_names;        // taken from there one by one
  telemetry::Counter ahead_listings;      // of those, before anybody asked
  telemetry::Counter ahead_used;          // and somebody asked then
  telemetry::Counter ahead_wasted;        // nobody did in time
  telemetry::Counter shown_first;         // names and listings, looked at behind that
  telemetry::Counter ahead_files;         // fetched in whole or in part before they were opened
  telemetry::Counter ahead_files_used;    // and somebody read them then
  telemetry::Counter ahead_files_wasted;  // nobody did in time
  telemetry::Counter ahead_bytes;
  telemetry::Counter ahead_bytes_wasted;
  telemetry::Counter coalesced;  // calls that joined one under way
  telemetry::Counter versions_changed;
  telemetry::Counter stale_nodes;  // nodeids asked for that are not known: ESTALE
  telemetry::Counter opens;
  telemetry::Counter opens_handed_out;  // by passthrough
  telemetry::Counter not_handed_out[static_cast<size_t>(NotHandedOut::kCount)];
  telemetry::Counter refused_names;
  telemetry::Counter refused_infos;  // attributes no file can have
  telemetry::Counter refused_links;
  telemetry::Counter served_stale;
  telemetry::Counter origin_errors;
  telemetry::Counter timeouts;        // looks at the origin that it did not answer in time
  telemetry::Counter locks;           // taken at the origin
  telemetry::Counter locks_waited;    // that had to wait, also in vain
  telemetry::Counter locks_refused;   // by what somebody else has locked
  telemetry::Counter locks_lost;      // with the process before
  telemetry::Counter locks_not_kept;  // for the process after this one: there was no room
  telemetry::Counter bytes_lost;      // which that had kept
};

}  // namespace netfs::vfs
