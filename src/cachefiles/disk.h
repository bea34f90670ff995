#pragma once
// Disk: the only way of the store to its directory, so that tests can bring a disk that fails,
// fills up, forgets, tears and reorders.
//
// Paths are relative to the cache directory.  RealDisk is the machine's; SimDisk (sim_disk.h) is
// the tests'.  What was written is durable after sync_data() of the file; what was created,
// renamed or removed after sync_directory() of its directory.  Nothing else promises anything.
//
// Thread-safety: all calls from any thread; a DiskFile may be read and written concurrently.
// Errors are errnos of the system calls they stand for.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <sys/uio.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netfs/cache.h"

namespace netfs::cachefiles {

struct FileStat {
  uint64_t size_bytes = 0;
  uint64_t allocated_bytes = 0;
};

// An open file; closed by its destructor.
class DiskFile {
 public:
  virtual ~DiskFile() = default;

  // Fills the pieces in order from `offset_bytes`; the number of bytes read is short only at the
  // end of the file.  EAGAIN (Waiting::kNever only): the disk would have to be read.
  virtual Result<size_t> read(uint64_t offset_bytes, std::span<const iovec> pieces,
                              Waiting waiting) = 0;
  // Writes all of it or fails.
  virtual Result<void> write(uint64_t offset_bytes, std::span<const std::byte> data) = 0;
  virtual Result<void> truncate(uint64_t size_bytes) = 0;
  // Makes it so long, of zeroes, and the space for it its own: writes below do not end in ENOSPC.
  virtual Result<void> allocate(uint64_t size_bytes) = 0;
  virtual Result<void> sync_data() = 0;
  virtual Result<FileStat> stat() = 0;
  // Behind it, up to the size, there are zeroes that nobody wrote: most of a file with room set
  // aside.  Some of those may count as written once somebody has read them; all of them, where the
  // file system cannot say.
  virtual Result<uint64_t> data_end() = 0;
  // Whether nobody but this very file has it open or mapped (a write lease on it is granted).
  // EOPNOTSUPP where the file system cannot say.
  virtual Result<bool> only_user() = 0;
  // A descriptor of its own for the same open file.
  virtual Result<UniqueFd> descriptor() = 0;

  Result<size_t> read(uint64_t offset_bytes, std::span<std::byte> to);
};

enum class OpenMode : uint8_t {
  kRead,       // O_RDONLY
  kReadWrite,  // the file is there
  kCreate,     // the same, made if it is missing
  kCreateNew,  // EEXIST if it is there
};

class Disk {
 public:
  virtual ~Disk() = default;

  virtual Result<std::unique_ptr<DiskFile>> open(const std::string& path, OpenMode mode) = 0;
  virtual Result<FileStat> stat(const std::string& path) = 0;
  virtual Result<void> remove(const std::string& path) = 0;
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> make_directory(const std::string& path) = 0;  // EEXIST
  // The names in a directory but "." and "..", unordered.
  virtual Result<void> list(const std::string& path,
                            const std::function<void(const std::string&)>& sink) = 0;
  virtual Result<void> sync_directory(const std::string& path) = 0;
  // Everything written before is durable afterwards: dearer than sync_data() of a few files.
  virtual Result<void> sync_all() = 0;
  // Owns the lock file `path` until the result is destroyed, and writes this process's number into
  // it.  EBUSY names the owner.
  virtual Result<std::unique_ptr<DiskFile>> lock(const std::string& path) = 0;
};

}  // namespace netfs::cachefiles
