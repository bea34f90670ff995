#pragma once
// mount_here: an origin of the caller's own, mounted and served by the calling process itself.
//
// For programs that bring an origin: no supervisor, no control socket; the mount ends with the
// process.  Needs root, or fusermount3.  The origin outlives the mount.  Thread-safe.
//
// Errors: what MountInstance and fuse/mount.h say, each with a sentence.
//
//   HelloOrigin origin;
//   auto mount = TRY(mount_here(origin, {.source = "hello:", .mount_point = "/mnt"}));
//   mount->wait(Deadline::never());   // until somebody unmounts it

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "daemon/mount_instance.h"
#include "daemon/options.h"
#include "daemon/shared_store.h"

namespace netfs::daemon {

struct HereOptions {
  std::string source;       // shown by mount and df
  std::string mount_point;  // absolute
  // Without a cache_dir nothing is cached on disk.
  MountOptions options;
};

class HereMount {
 public:
  // Unmounts, lazily if it is in use.
  ~HereMount();
  HereMount(const HereMount&) = delete;
  HereMount& operator=(const HereMount&) = delete;

  // Until it is unmounted by whoever; false at the deadline.
  bool wait(Deadline deadline);

 private:
  friend Result<std::unique_ptr<HereMount>> mount_here(Origin& origin, HereOptions options);
  explicit HereMount(const MountOptions& options);

  SharedStore store_;
  Ref<MountInstance> instance_;
};

Result<std::unique_ptr<HereMount>> mount_here(Origin& origin, HereOptions options);

}  // namespace netfs::daemon
