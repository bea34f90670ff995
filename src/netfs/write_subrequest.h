#pragma once
// WriteSubrequest: one write of one place by the library, handed to an OriginWriter.
//
// The origin takes source() and calls terminated() exactly once, from any thread, however it went.
// It may keep a reference to the subrequest until then and not after; source() stays valid and
// unchanged as long.  Two subrequests of one file that are open at one time never overlap.
//
// The library checks what it is told: more bytes than asked is EIO, fewer is tried again.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_range.h"
#include "base/clock.h"
#include "base/result.h"
#include "netfs/attributes.h"

namespace netfs {

class OriginFile;

// What an origin saw around a change of a file.
struct Seen {
  // The file's validator just before; absent where it was not asked.
  std::optional<Validator> before;
  // The file just after; absent where it was not asked.
  std::optional<NodeInfo> after;
};

// How a write ended.
struct WriteOutcome {
  // Bytes taken from the front of source().  An error says nothing of the bytes.
  Result<uint64_t> transferred_bytes = uint64_t{0};
  Seen seen;
};

// What the library wants to be seen besides: a write in pieces asks it of the first and the last.
struct WantsSeen {
  bool before = true;
  bool after = true;
};

class WriteSubrequest {
 public:
  WriteSubrequest(OriginFile& file, ByteRange range, std::span<const std::byte> source,
                  WantsSeen wants, Deadline deadline)
      : file_(file), range_(range), source_(source), wants_(wants), deadline_(deadline) {}
  WriteSubrequest(const WriteSubrequest&) = delete;
  WriteSubrequest& operator=(const WriteSubrequest&) = delete;
  virtual ~WriteSubrequest() = default;

  [[nodiscard]] OriginFile& file() const { return file_; }
  [[nodiscard]] ByteRange range() const { return range_; }
  // range().length_bytes long.
  [[nodiscard]] std::span<const std::byte> source() const { return source_; }
  // An origin may see more or less than this: what it did not see is absent.
  [[nodiscard]] WantsSeen wants() const { return wants_; }
  [[nodiscard]] Deadline deadline() const { return deadline_; }

  // As of a Subrequest.
  virtual void time_moved(Deadline deadline) { (void)deadline; }
  // The end of it; `this` may be gone when it returns.
  virtual void terminated(WriteOutcome outcome) = 0;

 private:
  OriginFile& file_;
  const ByteRange range_;
  const std::span<const std::byte> source_;
  const WantsSeen wants_;
  const Deadline deadline_;
};

}  // namespace netfs
