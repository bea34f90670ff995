#pragma once
// Subrequest: one read of one place by the library, handed to an Origin to be carried out.
//
// The origin fills destination() from the front and calls terminated() exactly once, from any
// thread, however it went; it may call progress() before, as bytes come in.  It may keep a
// reference to the subrequest until terminated() is called and not after.  destination() stays
// valid until then, even if whoever asked is gone.
//
// The library checks what it is told: more bytes than asked is EIO, fewer is retried (see
// read_collect.h for the five-way rule).  The origin need not retry or split for it.

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

// How a subrequest ended.
struct ReadOutcome {
  // Bytes placed from the front of destination(); fewer than asked at the end of file or after a
  // short answer.  An error says nothing of the bytes.
  Result<uint64_t> transferred_bytes = uint64_t{0};
  // The origin said that the file ends where the transfer did.
  bool hit_end_of_file = false;
  // The file's validator as seen after the last byte was read; absent where it was not asked.
  std::optional<Validator> validator_after;
  // As the answer had it that the bytes came in, before them: of a file that is opened by read
  // (Origin::open_by_read), whose version nothing else has told.
  std::optional<Validator> validator_before;
  // How long that answer, or the open before it, had it that the file is: of a file of another
  // length no byte is taken, whatever its validator.
  std::optional<uint64_t> size_before;
  // What named the version came so long before the bytes that it says nothing of them: nobody has
  // them until the origin, asked when they were here, has said that it is still the same.
  bool confirm_first = false;
};

class Subrequest {
 public:
  Subrequest(OriginFile& file, ByteRange range, std::span<std::byte> destination, Deadline deadline)
      : file_(file), range_(range), destination_(destination), deadline_(deadline) {}
  Subrequest(const Subrequest&) = delete;
  Subrequest& operator=(const Subrequest&) = delete;
  virtual ~Subrequest() = default;

  [[nodiscard]] OriginFile& file() const { return file_; }
  [[nodiscard]] ByteRange range() const { return range_; }
  // range().length_bytes long.
  [[nodiscard]] std::span<std::byte> destination() const { return destination_; }
  [[nodiscard]] Deadline deadline() const { return deadline_; }

  // The first `bytes` of destination() are in place.  Optional; bytes never shrink.  Not of what
  // its outcome will have confirmed first.
  virtual void progress(uint64_t bytes) { (void)bytes; }
  // Where something before the origin holds it back (limited_origin.h): until when it has time from
  // now on, never() while it is held.  Not under a lock.
  virtual void time_moved(Deadline deadline) { (void)deadline; }
  // Whether somebody waits for it.  Takes no lock.
  [[nodiscard]] virtual bool awaited() const { return true; }
  // The end of it; `this` may be gone when it returns.
  virtual void terminated(ReadOutcome outcome) = 0;

 private:
  OriginFile& file_;
  const ByteRange range_;
  const std::span<std::byte> destination_;
  const Deadline deadline_;
};

}  // namespace netfs
