#pragma once
// WriteTurns: whose turn it is to change a file, and what of its writes is kept here meanwhile.
//
// Changes begin in the order in which they were asked.  A write has been *kept* if it was answered
// when it came; kept ones begin while others are on their way, as far as they touch none of their
// bytes and the window has room, and neighbours that wait go out as one.  A small one that others
// may still join waits for those on their way, unless somebody waits for it.  Any other change
// begins when all before it have ended, and is alone until it ends.
//
// A kept write is settled when it has landed or failed and whoever must know knows.
//
// Pure: guarded by the lock of its file, and calls nobody.

#include <deque>
#include <set>
#include <vector>

#include "netfs/upload_window.h"
#include "netfs/write_overlay.h"
#include "netfs/write_request.h"

namespace netfs {

class WriteTurns {
 public:
  // A change by a caller who waits.
  struct Waiter {
    bool granted = false;
  };
  // What begins next: one of the two, or nothing yet.
  struct Next {
    std::vector<Ref<WriteRequest>> writes;  // neighbours, in order; begun() is to follow
    Waiter* waiter = nullptr;
  };

  explicit WriteTurns(UploadWindow& window) : window_(window) {}

  void add(Ref<WriteRequest> write);
  void add(Waiter& waiter) { waiting_.push_back({.write = nullptr, .waiter = &waiter}); }
  // Who waits no longer.
  void remove(const Waiter& waiter);
  void remove(const WriteRequest& write);
  // All writes without a time limit whose turn has not come, and never will.
  [[nodiscard]] std::vector<Ref<WriteRequest>> remove_untimed();
  // Whether the file may still be changed by one that is on its way.  One that has ended and holds
  // its turn while others hear of it changes nothing more.
  [[nodiscard]] bool any_changing() const;
  // Until when those under way have time, where a limit of bandwidth holds writes back; nullopt:
  // none is.
  [[nodiscard]] std::optional<MonoTime> held_until() const;
  // Whether one that was given up still holds its turn: who waits behind it needs a time limit.
  [[nodiscard]] bool is_stuck() const;

  [[nodiscard]] Next next();
  // What was made of the writes that next() gave.
  void begun(const std::vector<Ref<WriteRequest>>& parts, Ref<WriteRequest> write);
  // Its last part has ended.
  void ended(const WriteRequest& write, Duration took, Duration timeout);
  void waiter_ended() { exclusive_ = false; }

  // It is settled; what is called because of that, in order.
  [[nodiscard]] std::vector<Settled> settled(const WriteRequest& write);
  // Whether `done` is kept until all writes kept so far are settled: else they are.
  bool when_settled(Settled& done);
  [[nodiscard]] size_t kept_count() const { return unsettled_.size(); }

  // What kept writes make of the file.
  [[nodiscard]] WriteOverlay overlay(ByteRange range) const;
  [[nodiscard]] uint64_t kept_end_bytes() const;

 private:
  struct Waiting {
    Ref<WriteRequest> write;  // or
    Waiter* waiter = nullptr;
  };
  struct Settling {
    uint64_t up_to = 0;
    Settled done;
  };

  [[nodiscard]] size_t run_length(uint64_t& bytes) const;
  [[nodiscard]] bool is_apart(ByteRange range) const;
  [[nodiscard]] bool may_join(size_t run, uint64_t bytes);

  UploadWindow& window_;
  std::deque<Waiting> waiting_;
  std::vector<Ref<WriteRequest>> running_;
  bool exclusive_ = false;
  uint64_t last_order_ = 0;
  std::set<uint64_t> unsettled_;   // kept writes by their order
  std::deque<Settling> settling_;  // in order
};

}  // namespace netfs
