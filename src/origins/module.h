#pragma once
// The module ABI: how a protocol comes into netfs.
//
// A module is a shared object libnetfs-origin-SCHEME.so with one C entry, netfs_origin_module(),
// that answers a table.  It is loaded only when a URL names its scheme and stays loaded.  The table
// starts with the ABI number: it changes whenever this file, or what it stands on of netfs
// (origin.h, origin_locks.h, origin_writer.h, subrequest.h, write_subrequest.h, blocking_origin.h,
// sync/work_queue.h), does so incompatibly, and a module of another number is refused.  Modules
// take the symbols of libnetfs from the program that loads them, so there is one log, one set of
// thread contexts.
//
//   NETFS_ORIGIN_MODULE("file", "0.1", file_traits, file_options, open_file_origin)

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "netfs/origin.h"
#include "origins/url.h"
#include "sync/probe.h"

namespace netfs::origins {

// Locks that report to the validator are larger: such builds have numbers of their own.
// 15: OriginFile::descriptor(), OriginWriter::take_over().  16: OriginWriter::replace().
// 17: OriginLocks::take_over() says which file it is of, OriginLock::is_lost(),
// NewNode::believed_absent, OriginRequest::mount_id.
inline constexpr uint32_t kOriginAbi = 17 | (sync::kValidated ? 1u << 16 : 0);

// Options of one origin by name, as given with -o; only names the module lists.
using OriginOptions = std::map<std::string, std::string>;

struct OriginRequest {
  Url url;
  OriginOptions options;
  Duration timeout = std::chrono::seconds(30);  // of every wait, connecting included
  const Clock* clock = &Clock::system();
  // What no other mount is called, of whichever machine, and each process is told that serves this
  // one; empty: nobody said.
  std::string mount_id;
  // A process before this one may have left something at the origin in its name.
  bool follows = false;
};

// What `netfs origins` and docs/origins.md say of it, a few words each.  What a certain server can
// do less is told by `netfs status` of its mount.
struct OriginTraits {
  const char* on;        // what it speaks to
  const char* versions;  // what tells two versions of a file apart
  const char* identity;  // what tells two files apart
  const char* changes;   // what of a tree can be changed
  const char* locks;     // who keeps fcntl and flock locks
};

extern "C" struct NetfsOriginModule {
  uint32_t abi;  // kOriginAbi; always the first field
  const char* scheme;
  const char* version;
  OriginTraits traits;
  const char* const*
      options;  // names it takes, each followed by its one-line help; null at the end
  // Connects, and finds that the root is a directory.  The error's detail is for the user.
  Result<std::unique_ptr<Origin>> (*open)(const OriginRequest& request);
};

}  // namespace netfs::origins

#define NETFS_ORIGIN_MODULE(scheme_, version_, traits_, options_, open_)                       \
  extern "C" __attribute__((visibility("default"))) const ::netfs::origins::NetfsOriginModule* \
  netfs_origin_module() {                                                                      \
    static const ::netfs::origins::NetfsOriginModule module = {                                \
        ::netfs::origins::kOriginAbi, scheme_, version_, traits_, options_, open_};            \
    return &module;                                                                            \
  }
