#pragma once
// WriteRequest: one write that somebody asked for, until it is answered.
//
// It has two streams over one buffer.  The origin's is tiled into parts of the origin's size; they
// may end in any order and are collected from the front.  What fails is tried again, tiled smaller,
// once nothing is in flight; the first part that failed for good ends the request, and what lies
// before it is written.  The cache's stream has one kind of part, "cancel": what is stored of the
// version before goes.  It is queued and nobody waits for it.
//
// One that was kept was answered when it came; it lives on, in no context, until it has landed.
//
// Everything that is not const is guarded by the mutex of its file.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "netfs/buffer.h"
#include "netfs/request.h"
#include "netfs/writable_file.h"

namespace netfs {

class LiveFile;

enum class WritePartState : uint8_t { kWaiting, kInFlight, kDone, kFailed };

struct WritePart {
  ByteRange range;
  WritePartState state = WritePartState::kWaiting;
  uint64_t done_bytes = 0;  // from the front
  std::optional<Error> error;
  std::optional<MonoTime> until;  // as a limit of bandwidth has moved it
};

enum class WriteStreamKind : uint8_t { kOrigin, kCache };

struct WriteStream {
  WriteStreamKind kind = WriteStreamKind::kOrigin;
  std::vector<WritePart> parts;  // tile the range in file order
  unsigned in_flight = 0;

  // How many bytes from the front are done.
  [[nodiscard]] uint64_t collected_bytes() const;
  // The first part that is not done, or null.
  [[nodiscard]] const WritePart* front() const;
  // Of the parts on their way that a limit of bandwidth holds back or let go: when the first one's
  // time is up.
  [[nodiscard]] std::optional<MonoTime> held_until() const;
};

// Cuts a range into parts of at most `piece_bytes`, and appends them.
void tile(ByteRange range, uint64_t piece_bytes, std::vector<WritePart>& parts);
// What is not done of a stream that has nothing in flight, tiled anew.
void tile_again(WriteStream& stream, uint64_t piece_bytes);

class WriteRequest final : public Request {
 public:
  WriteRequest(uint64_t number, Ref<LiveFile> of, ByteRange asked, BufferSlice from,
               WritePieces how, const sync::Context& asker, MonoTime now, MonoTime until);
  ~WriteRequest() override;

  void end(Error error) override;
  [[nodiscard]] MonoTime waits_until() const override;
  [[nodiscard]] std::string path() const override;
  [[nodiscard]] std::string what_it_waits_for() const override;

  const Ref<LiveFile> file;
  const BufferSlice data;
  const WritePieces pieces;

  WriteDone done;                // null: it was kept
  uint64_t kept_bytes = 0;       // of memory, while it is kept; 0: it is not
  std::vector<uint64_t> copies;  // of what was kept: for LandingWatch::settled()
  bool untimed = false;          // until its turn comes
  bool resting = false;          // nothing is in flight: a timer will try again
  MonoTime turn_began{};
  uint64_t order = 0;  // among the writes of its file
  bool alone = true;   // no other write of the file was on its way at the same time
  WriteStream origin{.kind = WriteStreamKind::kOrigin};
  WriteStream cache{.kind = WriteStreamKind::kCache};
  uint64_t piece_bytes = 0;
  unsigned failures = 0;  // since the last progress
  bool finished = false;  // answered, or landed
  Seen seen;

  [[nodiscard]] bool kept() const { return kept_bytes > 0; }
};

}  // namespace netfs
