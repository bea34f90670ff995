#pragma once
// RealDisk: a directory of this machine as a Disk.
//
// create() makes the directory (0700) if it is missing and checks that it is ours.  Errors: those
// of CacheFiles::create() that speak of the directory.
//
// What is opened for reading is opened through a mount of our own without access times, where that
// may be made (CAP_SYS_ADMIN): a file that is handed to the kernel is read by the flags of its
// mount, not of our descriptor, and a read must not write an access time into the cache.

#include <memory>
#include <string>

#include "cachefiles/disk.h"

namespace netfs::cachefiles {

class RealDisk final : public Disk {
 public:
  static Result<std::unique_ptr<RealDisk>> create(const std::string& directory);

  Result<std::unique_ptr<DiskFile>> open(const std::string& path, OpenMode mode) override;
  Result<FileStat> stat(const std::string& path) override;
  Result<void> remove(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> make_directory(const std::string& path) override;
  Result<void> list(const std::string& path,
                    const std::function<void(const std::string&)>& sink) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<void> sync_all() override;
  Result<std::unique_ptr<DiskFile>> lock(const std::string& path) override;

 private:
  RealDisk(std::string directory, UniqueFd root, UniqueFd readers_root)
      : directory_(std::move(directory)),
        root_(std::move(root)),
        readers_root_(std::move(readers_root)) {}

  const std::string directory_;
  const UniqueFd root_;
  const UniqueFd readers_root_;  // the same directory without access times; -1: could not be had
};

}  // namespace netfs::cachefiles
