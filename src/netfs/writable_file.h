#pragma once
// WritableFile: a file that is open for writing here, or that lives on without a name.
//
// It has no version: reads see what the origin has now and are not cached.  A write is at the
// origin when it is answered (`--write=through`).  Changes of one file are made one after another,
// in the order in which they were asked.
//
// Thread-safe; held by Ref.  write() and read() never block; the others wait for their turn and for
// the origin, until their deadline, and are for workers.
//
//   Ref<WritableFile> file = TRY(writer.open(path, identity, before, deadline)).file;
//   file->write({0, 5}, slice, WritePieces::kTogether, context, [](Result<Written> written) {...});

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

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
};

struct Written {
  uint64_t bytes = 0;  // from the front; fewer than asked if the rest failed
  int stopped_by = 0;  // then: errno of what failed
  Witnessed witnessed;
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

class WritableFile : public File {
 public:
  // Writes all of `data` at the range, which is as long, 4 MiB at most.  Errors: the origin's own
  // (ENOSPC, EDQUOT, EFBIG, EACCES...); ETIMEDOUT; ENOTCONN; ECANCELED after close.
  virtual void write(ByteRange range, BufferSlice data, WritePieces pieces,
                     const sync::Context& context, WriteDone done) = 0;
  virtual Result<Witnessed> set_attributes(const AttributeChange& change, Deadline deadline) = 0;
  virtual Result<Witnessed> allocate(uint32_t mode, ByteRange range, Deadline deadline) = 0;
  virtual Result<void> sync(SyncKind kind, Deadline deadline) = 0;
  // One more name of the file, or its first: EOPNOTSUPP where the origin cannot by the handle.
  virtual Result<NodeInfo> link(const std::string& to, Deadline deadline) = 0;
  // Copies to this file at the origin: EOPNOTSUPP, EXDEV where it cannot.
  virtual Result<CopiedFile> copy_from(const FileRef& from, const Copying& what,
                                       Deadline deadline) = 0;
  [[nodiscard]] virtual FileRef as_ref() const = 0;

  // Whether its bytes were changed since it was opened.
  [[nodiscard]] virtual bool changed() const = 0;
  // Its name is another one now.
  virtual void moved(const std::string& path) = 0;
};

}  // namespace netfs
