#pragma once
// VolatileDisk: a file system on a disk with a volatile cache, as real ones have it: what is
// written is on the medium once the disk was told to flush.  A power cut, at any of its writes,
// leaves of what was not flushed some sectors and not others, in whatever order they came; needs
// root.
//
// The disk is a file that this process serves by FUSE, with a loop device on it; the medium is a
// file below the temporary folder.  So nothing of it outlives this process but that file.
//
//   VolatileDisk disk(temp, "ext4", 256);
//   ASSERT_TRUE(disk.ready()) << disk.trouble();
//   disk.cut_at(17, VolatileDisk::Kept::kSome);   // the 17th write or flush from now, or
//   disk.cut_power(VolatileDisk::Kept::kNothing); // now
//   disk.mount_again();

#include <cstdint>
#include <memory>
#include <string>

#include "tests/support/temp_dir.h"

namespace netfs::test {

class VolatileDisk {
 public:
  // What the medium has, after a cut, of what was not flushed.
  enum class Kept : uint8_t { kNothing, kSome, kAll };

  // `type` is ext4 or xfs; the latter has 300 MiB at least.
  VolatileDisk(const TempDir& temp, const std::string& type, unsigned size_mib);
  ~VolatileDisk();
  VolatileDisk(const VolatileDisk&) = delete;
  VolatileDisk& operator=(const VolatileDisk&) = delete;

  [[nodiscard]] bool ready() const { return trouble_.empty(); }
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  // Where it is mounted.
  [[nodiscard]] const std::string& path() const { return path_; }

  // Writes and flushes that were done since it was made.
  [[nodiscard]] uint64_t operations() const;
  // The so-manieth from now, counted from 1, is not done, nor is anything after it: EIO.
  void cut_at(uint64_t operation, Kept kept, uint64_t seed);
  void cut_power(Kept kept, uint64_t seed);
  [[nodiscard]] bool is_cut() const;
  // Power is back: the file system is mounted from what the medium has.  Nobody may have files open
  // on it.
  [[nodiscard]] bool mount_again();

 private:
  class Server;

  bool mount();
  bool unmount();

  const std::string type_;
  const std::string path_;
  const std::string served_at_;
  std::unique_ptr<Server> server_;
  std::string trouble_;
};

}  // namespace netfs::test
