#pragma once
// mount: attaches a FUSE connection to a directory and gives its descriptors; and takes it away.
//
// Two ways: mount(2) as root, and fusermount3 for an ordinary user.  The one who calls this is the
// supervisor; descriptors [0] is the connection, the rest are clones, one a queue.  All are
// close-on-exec.  The connection ends when the last of them is closed by everybody.
//
// Errors carry a sentence for the user: ENOENT and ENOTDIR for the mount point, EBUSY when
// something is mounted on it or it is in use, ENOTCONN when a dead FUSE mount lies there (umount
// it), EPERM, ENODEV without a fuse module, ENOEXEC when fusermount3 is missing.
//
//   auto fds = TRY(mount_directly({.source = "sftp://h/d", .mount_point = "/mnt"}));

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netfs::fuse {

struct MountOptions {
  std::string source;             // shown by mount and df, exactly as given
  std::string mount_point;        // absolute and resolved, as realpath(3) gives it
  std::string subtype = "netfs";  // type fuse.netfs
  unsigned queues = 1;            // descriptors wanted
  uint32_t max_read_bytes = 1 << 20;
  bool read_only = false;
  bool allow_other = false;
  bool default_permissions = true;
  bool nosuid = true;
  bool nodev = true;
  bool noexec = false;
  bool noatime = false;
};

// Whether something could be mounted there; the path as in MountOptions.
Result<void> check_mount_point(const std::string& path);

// By mount(2); needs CAP_SYS_ADMIN.
Result<std::vector<UniqueFd>> mount_directly(const MountOptions& options);
// By fusermount3.  Fewer queues than asked when this user may not open /dev/fuse.
Result<std::vector<UniqueFd>> mount_by_helper(const MountOptions& options);
// The first when this process may, else the second.
Result<std::vector<UniqueFd>> mount(const MountOptions& options);

enum class UnmountMode {
  kPlain,  // EBUSY when in use
  kLazy,   // in use: gone from the tree at once, ends with the last use
  kForce,  // aborts the connection's requests first; then as kLazy
};
// EINVAL: nothing is mounted there.
Result<void> unmount(const std::string& mount_point, UnmountMode mode);

// Raises the readahead of the mount to `kib`, if this process may.  EACCES, EPERM: not ours to set.
// Only once INIT is answered: the kernel sets it itself then.
Result<void> set_readahead(const std::string& mount_point, unsigned kib);

// The pieces of the option strings, for tests.
std::string kernel_options(const MountOptions& options, int fd, unsigned root_mode);
std::string helper_options(const MountOptions& options);
// Escapes a value for fusermount3's -o: ',' and '\' get a '\' before them.
std::string escape_option(std::string_view value);

}  // namespace netfs::fuse
