#pragma once
// LoopImage: a small file system of its own in a file, mounted through a loop device; needs root.
//
// What a test does to a disk without harm to the machine: freeze it, fill it, cut its power.
//
//   LoopImage disk(temp, "ext4");
//   ASSERT_TRUE(disk.ready()) << disk.trouble();
//   disk.cut_power();   // what was not made durable is gone
//   disk.mount_again();

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace netfs::test {

class LoopImage {
 public:
  // `type` is ext4, xfs or btrfs.
  LoopImage(const TempDir& temp, std::string type, unsigned size_mib = 512);
  ~LoopImage();
  LoopImage(const LoopImage&) = delete;
  LoopImage& operator=(const LoopImage&) = delete;

  [[nodiscard]] bool ready() const { return trouble_.empty(); }
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  // Where it is mounted.
  [[nodiscard]] const std::string& path() const { return path_; }

  // Stops the file system dead, as a power cut does: no more writes, nothing of its journal that
  // was not on disk.  Whoever uses it gets EIO from now on.  False: errno says why.
  [[nodiscard]] bool cut_power() const;
  // Unmounts, and mounts again, which replays the journal; nobody may have files open on it.
  [[nodiscard]] bool mount_again();

 private:
  bool mount();
  bool unmount();

  const std::string type_;
  const std::string path_;
  std::string device_;
  std::string trouble_;
};

// A folder with a quota, root's too: of btrfs, whose quota is a thing of a folder and is built in
// wherever it is, while those of ext4 and XFS are left out of many a kernel.
class QuotaFolder {
 public:
  QuotaFolder(const TempDir& temp, unsigned mib);

  [[nodiscard]] bool ready() const { return trouble_.empty(); }
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // From now on.
  [[nodiscard]] bool limit(unsigned mib);

 private:
  bool btrfs(const std::vector<std::string>& words);

  LoopImage disk_;
  const std::string path_;
  std::string trouble_;
};

// On ext4: from now on nobody changes that file, not root nor who has it open; or again who might
// before.  False: errno says why.
[[nodiscard]] bool set_immutable(const std::string& path, bool immutable);

// A file system that stands still: writers block until it is thawed.  A process of its own does
// freezing and thawing, and thaws when the bound is over or this program is gone: a thread that
// writes there cannot even be killed.
class Frozen {
 public:
  Frozen(const std::string& path, Duration bound);
  ~Frozen() { thaw(); }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

  // Whether it was frozen at all.
  [[nodiscard]] bool frozen() const { return frozen_; }
  // Thaws; whether it had been frozen all the time until now.
  bool thaw();

 private:
  pid_t guard_ = -1;
  UniqueFd guard_socket_;
  bool frozen_ = false;
};

}  // namespace netfs::test
