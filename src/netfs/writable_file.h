#pragma once
// WritableFile: a file that is open for writing here, or that lives on without a name.
//
// It has no version: reads see what the origin has now, with what was written here, and are not
// cached.  Changes of one file are made one after another, in the order in which they were asked.
// A write is at the origin when it is answered; or it is *kept* (Library::Options::
// write_behind_bytes): answered as soon as it is in memory here, and on its way.  Then settle()
// tells when it has landed, and write_errors() whether it failed.
//
// Thread-safe; held by Ref.  write(), read() and settle() never block; the others wait for their
// turn and for the origin, until their deadline, and are for workers.
//
//   Ref<WritableFile> file = TRY(writer.open(path, identity, before, deadline)).file;
//   file->write({0, 5}, slice, WritePieces::kTogether, context, [](Result<Written> written) {...});

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "netfs/library.h"
#include "netfs/origin_writer.h"

namespace netfs {

// How the pieces of one write that is longer than the origin takes at once go out.
enum class WritePieces : uint8_t {
  kTogether,
  kOneByOne,  // none after one that failed: for direct I/O, where a gap would be seen
};

// What a change of a file showed of it.
struct Witnessed {
  std::optional<NodeInfo> info;  // as it was after the change; absent: the origin did not say
  bool foreign = false;          // somebody else had changed it since we last looked
  // WritableFile::keeps() when `info` was all there was of the file; another number since says that
  // it shows a part.
  uint64_t keeps = 0;
};

struct Written {
  uint64_t bytes = 0;  // from the front; fewer than asked if the rest failed
  int stopped_by = 0;  // then: errno of what failed
  bool kept = false;   // it is here, and not yet at the origin
  Witnessed witnessed;
};

// Failures of kept writes of one file; whoever has seen another serial number has not heard of the
// last one (as Linux's errseq_t, by which fsync tells each descriptor once).
struct WriteErrors {
  uint64_t serial = 0;
  int last = 0;
};

// Hears of each kept write that has landed or failed: any thread, not under a lock; before whoever
// waits for it to be settled.
class LandingWatch : public RefCounted<LandingWatch> {
 public:
  virtual ~LandingWatch() = default;
  // `error`: 0 when all of it is at the origin; else it stands for all that failed with it.  Until
  // this returns it counts as kept.
  virtual void landed(Witnessed witnessed, int error) = 0;

  // A write is going to be kept: before it is answered, so that whoever comes after this process
  // may have it.  What settled() will be told of it; 0: nothing.
  virtual uint64_t keep(ByteRange /*range*/, std::span<const std::byte> /*bytes*/) { return 0; }
  // These are at the origin, or have failed.
  virtual void settled(const std::vector<uint64_t>& /*numbers*/) {}
};

// A file at the origin: by its handle there, if it has one that keeps it alive, or by its path.
struct FileRef {
  std::string path;
  std::shared_ptr<OriginFile> open;

  [[nodiscard]] FileAt at() const { return {.path = path, .open = open.get()}; }
};
struct CopiedFile {
  uint64_t bytes = 0;
  Witnessed witnessed;
};

// Called once, from any thread, never under a lock.
using WriteDone = UniqueFunction<void(Result<Written>)>;
using Settled = UniqueFunction<void()>;

class WritableFile : public File {
 public:
  // Writes all of `data` at the range, which is as long, 4 MiB at most.  Errors: the origin's own
  // (ENOSPC, EDQUOT, EFBIG, EACCES...); ETIMEDOUT; ENOTCONN; ECANCELED after close.
  virtual void write(ByteRange range, BufferSlice data, WritePieces pieces,
                     const sync::Context& context, WriteDone done) = 0;
  virtual Result<Witnessed> set_attributes(const AttributeChange& change, Deadline deadline) = 0;
  virtual Result<Witnessed> allocate(uint32_t mode, ByteRange range, Deadline deadline) = 0;
  virtual Result<void> sync(SyncKind kind, Deadline deadline) = 0;
  // One more name of the file, or its first: ESTALE where the origin cannot by the handle.
  virtual Result<NodeInfo> link(const std::string& to, Deadline deadline) = 0;
  // Copies to this file at the origin: EOPNOTSUPP, EXDEV where it cannot.
  virtual Result<CopiedFile> copy_from(const FileRef& from, const Copying& what,
                                       Deadline deadline) = 0;
  [[nodiscard]] virtual FileRef as_ref() const = 0;
  // The origin's handle that it is open by: to write by, if it has one; or null.
  [[nodiscard]] virtual std::shared_ptr<OriginFile> open_by() const = 0;

  // Before the first write.
  virtual void watch(Ref<LandingWatch> watch) = 0;
  // How many kept writes have neither landed nor failed.
  [[nodiscard]] virtual size_t kept_writes() const = 0;
  [[nodiscard]] bool dirty() const { return kept_writes() > 0; }
  // Another number with each write that is kept.
  [[nodiscard]] virtual uint64_t keeps() const = 0;
  // Where the last of them ends, of those that are not settled; 0: there is none.
  [[nodiscard]] virtual uint64_t kept_end_bytes() const = 0;
  // Calls `done` when all writes that were kept before have landed or failed: now if they have,
  // else from any thread.  Bounded: each write ends in its time, and those behind one that cannot
  // reach the origin end with it.
  virtual void settle(Settled done) = 0;
  [[nodiscard]] virtual WriteErrors write_errors() const = 0;

  // A look has shown what it is like, with all that was written here: what it is not before the
  // next write, others have made of it.
  virtual void saw(const Validator& validator) = 0;

  // Whether its bytes were changed since it was opened.
  [[nodiscard]] virtual bool changed() const = 0;
  // Its name is another one now.
  virtual void moved(const std::string& path) = 0;
};

}  // namespace netfs
