#pragma once
// Library: requests over one origin and one cache volume; what a mount, or any other program, reads
// remote files through.
//
// It slices a read into subrequests (zeroes, cache, origin), keeps each block from being fetched
// twice, reads ahead, retries, replies as soon as the asked range is there, and hands every filled
// block to the offload, the only caller of the cache's writer door.
//
// Thread-safety: all calls from any thread.  Files are held by Ref; close() ends all requests
// (ECANCELED) and waits, bounded by the origin's timeout, until no subrequest is open.  Files are
// let go of before their origin and pool are.  Should close() have given up on a subrequest that
// the origin never terminated (stats().subrequests_open > 0), origin and pool must stay, too.
//
// Example: examples/ reads a file of an origin of its own through this.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/byte_range.h"
#include "base/clock.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "base/unique_function.h"
#include "netfs/attributes.h"
#include "netfs/buffer.h"
#include "netfs/cache.h"
#include "netfs/origin.h"
#include "sync/context.h"

namespace netfs {

class Offload;
class ReadStream;
class TreeWriter;
struct LibraryStats;

// One version of one file, as the caller wants to read it.
struct FileVersion {
  std::string path;      // at the origin
  std::string identity;  // the origin's, or the path
  Validator validator;
  uint64_t size_bytes = 0;
};

// The bytes of a finished read, in file order: shorter than asked at the end of the file only.
struct ReadResult {
  std::vector<BufferSlice> slices;
  [[nodiscard]] uint64_t length_bytes() const {
    uint64_t sum = 0;
    for (const BufferSlice& slice : slices) sum += slice.length_bytes;
    return sum;
  }
};

// Called once, from any thread, perhaps before read() returns; never under a lock.
using ReadDone = UniqueFunction<void(Result<ReadResult>)>;

// One open version of one file.  Many handles may share it.
class File : public RefCounted<File> {
 public:
  virtual ~File() = default;

  [[nodiscard]] virtual const FileVersion& version() const = 0;

  // A detector of access patterns; one an open handle.
  [[nodiscard]] virtual std::unique_ptr<ReadStream> open_stream() = 0;

  // Reads a range; what lies past the end of the file is cut off.  Never blocks: a hit that would
  // wait for the disk goes to the read pool.  `context` is the asker's, adopted by whoever works
  // for this request.  Errors: ESTALE: the origin has another version and these bytes were not
  // cached; ETIMEDOUT; ENOTCONN; EIO; ECANCELED after close or interrupt.
  virtual void read(ReadStream* stream, ByteRange range, const sync::Context& context,
                    ReadDone done) = 0;

  // The short way of a small read: a range that is wholly in the cache and waits for nothing is
  // read into `to`, which has room for it, without a buffer or a request.  How many bytes, fewer at
  // the end of the file only; nothing: nobody was asked and read() is to be called.
  virtual std::optional<size_t> read_at_once(ReadStream* stream, ByteRange range,
                                             std::span<std::byte> to) = 0;

  // A read-only descriptor of the complete local file for the kernel, if the cache has it sealed:
  // else EBUSY.  May wait for the disk: for workers.
  virtual Result<UniqueFd> hand_out() = 0;
  // Whether hand_out() would succeed; from memory.
  [[nodiscard]] virtual bool sealed() const = 0;

  // Fetches and stores what little is missing of a file that is nearly all in the cache, so that
  // it can be sealed: a store may have been dropped while the disk was slower than the origin, and
  // nobody reads those blocks again as long as the kernel has them.  Returns at once.
  virtual void fill_holes() = 0;

  // Fetches the first so many bytes, before anybody has asked for any: what nobody has yet, as far
  // as there is memory.  Returns at once, with how many bytes are under way for that; nothing: not
  // now, for memory is short or the disk lags.  What could hide a change (is_racy) is not fetched:
  // who opens the file later could not tell that it is old.
  virtual std::optional<uint64_t> fetch_unasked(uint64_t /*bytes_max*/) { return 0; }

  // What was fetched while the version could hide a change (is_racy) is not given to later reads:
  // for an open that is to see what others closed before it.
  virtual void forget_racy() {}

  // The origin has another version of this file: what is cached of it goes, on a worker.
  virtual void supersede() = 0;
  // Whether that was done: nothing more is fetched of it.
  [[nodiscard]] virtual bool superseded() const { return false; }
};

struct LiveRequest {
  uint64_t id = 0;
  std::string path;
  ByteRange range;
  Duration age{};
  std::string waits_for;  // "origin 2 of 3", "cache read", "retry in 120 ms"
};

class Library {
 public:
  struct Options {
    Origin& origin;              // outlives the library
    Ref<Volume> volume;          // null: no cache
    Offload* offload = nullptr;  // null exactly when volume is; outlives the library
    BufferPool& pool;            // outlives the library
    const Clock& clock = Clock::system();
    Duration timeout = std::chrono::seconds(30);  // bound of every wait on the origin
    unsigned read_threads = 4;                    // for hits that wait for the disk
    bool readahead = true;
    // Up to so many bytes of writes are answered before they are at the origin, and are in memory
    // meanwhile; 0: none is.
    uint64_t write_behind_bytes = 0;
  };

  static Result<std::unique_ptr<Library>> create(Options options);
  virtual ~Library() = default;

  // A file version ready to be read.  May wait for reads of the cache's index, not for the origin:
  // the origin's handle is opened with the first miss.  For workers.
  virtual Result<Ref<File>> open(FileVersion version) = 0;

  // For one that was made without a cache, at most once: what is opened from now on is read through
  // it.  The offload outlives the library.
  virtual void use_cache(Ref<Volume> volume, Offload& offload) = 0;

  // What changes the origin, and belongs to the library (netfs/tree_writer.h); null where nothing
  // can be changed.
  [[nodiscard]] virtual TreeWriter* writer() { return nullptr; }

  virtual void close() = 0;

  // How many bytes must be under way to keep the way to the origin busy, 0 while nobody knows.
  [[nodiscard]] virtual uint64_t link_bytes() const { return 0; }
  // How many bytes its buffers may hold altogether.
  [[nodiscard]] virtual uint64_t memory_bytes() const { return 0; }

  [[nodiscard]] virtual const LibraryStats& stats() const = 0;
  [[nodiscard]] virtual std::vector<LiveRequest> live_requests() const = 0;
};

}  // namespace netfs
