#pragma once
// Fetch: one download of a run of blocks, shared by every request that wants some of them.
//
// States: queued -> in flight -> (backing off -> queued)* -> confirming -> filled, or failed.
//   queued       waits for the origin's handle, or for its turn
//   in flight    one subrequest of it is open at the origin
//   backing off  a subrequest failed; a timer will queue it again
//   confirming   all bytes are here, the origin is being asked whether they are of this version
//   filled       immutable from here on; may be stored and read
//   failed       out of the table; its waiters have been answered or planned anew
// It is filled from the front, one subrequest at a time; what runs in parallel are fetches.
//
// Everything that is not const or atomic is guarded by the mutex of the file it belongs to.  The
// buffer's unfilled part belongs to the subrequest in flight.

#include <atomic>
#include <cstdint>
#include <list>
#include <optional>
#include <vector>

#include "base/byte_range.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/ref.h"
#include "netfs/buffer.h"
#include "netfs/offload.h"

namespace netfs {

class Fetch;
class ReadRequest;
class RemoteFile;

// A place in the list of blocks held in memory (block_memory.h).
struct MemoryEntry {
  Fetch* fetch = nullptr;
  RemoteFile* file = nullptr;
};

enum class FetchState : uint8_t { kQueued, kInFlight, kBackingOff, kConfirming, kFilled, kFailed };

class Fetch : public RefCounted<Fetch> {
 public:
  Fetch(ByteRange range_bytes, Ref<Buffer> to, uint64_t request, MonoTime until);
  ~Fetch();

  const ByteRange range;  // whole blocks, cut at the end of the file
  const Ref<Buffer> buffer;
  const uint64_t request_id;  // who asked for it first; 0: readahead

  MonoTime deadline;       // max while its subrequest is held back
  bool held_back = false;  // a limit of bandwidth has moved it
  FetchState state = FetchState::kQueued;
  uint64_t filled_bytes = 0;   // from the front
  uint64_t visible_bytes = 0;  // of these, what readers may have
  uint64_t piece_bytes = 0;    // longest subrequest from now on
  unsigned failures = 0;       // since the last progress
  bool no_progress = false;    // the last answer had no bytes
  bool confirmed = false;      // the validator seen after the last byte was this version's
  bool confirm_first = false;  // until it is, nobody has them (ReadOutcome::confirm_first)
  bool racy = false;           // begun within a granule of the file's change
  bool abandoned = false;      // out of the table though not done
  bool opens_anew = false;     // what failed it, open() says: it is tried again whatever that was
  std::optional<Error> error;
  std::vector<Ref<ReadRequest>> waiters;
  Ref<StoreTicket> ticket;  // set before the state is filled, if it is to be stored

  std::atomic<bool> awaited;  // somebody waits for it, or did
  std::atomic<uint64_t> consumed_bytes{0};
  std::atomic<bool> settled{false};  // the store is over, or none was queued

  MonoTime filled_at;  // constant once it is in the memory list

  // Guarded by the block memory's mutex.
  std::list<MemoryEntry>::iterator memory_entry;
  bool in_memory_list = false;

  [[nodiscard]] uint64_t filled_end() const { return range.offset_bytes + filled_bytes; }
  [[nodiscard]] uint64_t visible_end() const { return range.offset_bytes + visible_bytes; }
  [[nodiscard]] bool busy() const {
    return state != FetchState::kFilled && state != FetchState::kFailed;
  }
  // Part of it, which must be visible.
  [[nodiscard]] BufferSlice slice(ByteRange part) const {
    return {buffer, part.offset_bytes - range.offset_bytes, part.length_bytes};
  }
  // Whether the cache has it, or never will.
  [[nodiscard]] bool store_is_over() const {
    return settled.load(std::memory_order_acquire) &&
           (!ticket || ticket->state() != StoreTicket::State::kQueued);
  }
};

}  // namespace netfs
