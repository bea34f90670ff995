#include "netfs/write_turns.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace netfs {

namespace {
// Neighbours are copied together up to here, under a lock; what is longer goes out well enough.
constexpr uint64_t kTogetherBytesMax = 256 << 10;
// What is shorter waits for its neighbours while others are on their way.
constexpr uint64_t kWorthATrip = 64 << 10;
}  // namespace

void WriteTurns::add(Ref<WriteRequest> write) {
  write->order = ++last_order_;
  if (write->kept()) unsettled_.insert(write->order);
  waiting_.push_back({.write = std::move(write), .waiter = nullptr});
}

void WriteTurns::remove(const Waiter& waiter) {
  std::erase_if(waiting_, [&](const Waiting& one) { return one.waiter == &waiter; });
}

void WriteTurns::remove(const WriteRequest& write) {
  std::erase_if(waiting_, [&](const Waiting& one) { return one.write.get() == &write; });
}

std::vector<Ref<WriteRequest>> WriteTurns::remove_untimed() {
  std::vector<Ref<WriteRequest>> removed;
  for (Waiting& one : waiting_) {
    if (one.write && one.write->untimed) removed.push_back(std::move(one.write));
  }
  std::erase_if(waiting_, [](const Waiting& one) { return !one.write && one.waiter == nullptr; });
  return removed;
}

std::optional<MonoTime> WriteTurns::held_until() const {
  std::optional<MonoTime> until;
  for (const Ref<WriteRequest>& one : running_) {
    // One that rests goes on within its own time, one that begins has all of it.
    const MonoTime own = one->origin.parts.empty() ? MonoTime::max() : one->deadline.load();
    until = std::min(until.value_or(MonoTime::max()), one->origin.held_until().value_or(own));
  }
  return until;
}

bool WriteTurns::is_stuck() const {
  return std::any_of(running_.begin(), running_.end(), [](const Ref<WriteRequest>& one) {
    return one->finished && one->origin.in_flight > 0;
  });
}

bool WriteTurns::any_changing() const {
  return exclusive_ || std::any_of(running_.begin(), running_.end(), [](const auto& one) {
           return !one->finished || one->origin.in_flight > 0;
         });
}

bool WriteTurns::is_apart(ByteRange range) const {
  return std::none_of(running_.begin(), running_.end(), [&](const Ref<WriteRequest>& one) {
    return !one->range.intersect(range).empty();
  });
}

// How many of those that wait make one write: the first, and kept ones that go on where it ends.
size_t WriteTurns::run_length(uint64_t& bytes) const {
  const WriteRequest& first = *waiting_.front().write;
  bytes = first.range.length_bytes;
  if (!first.kept()) return 1;
  size_t run = 1;
  for (; run < waiting_.size(); ++run) {
    const Waiting& behind = waiting_[run];
    if (!behind.write || !behind.write->kept()) break;
    const ByteRange range = behind.write->range;
    if (range.offset_bytes != first.range.offset_bytes + bytes) break;
    if (bytes + range.length_bytes > kTogetherBytesMax || !is_apart(range)) break;
    bytes += range.length_bytes;
  }
  return run;
}

// Whether a run may begin beside those on their way; it has its room in the window then.
bool WriteTurns::may_join(size_t run, uint64_t bytes) {
  const WriteRequest& first = *waiting_.front().write;
  const bool all_kept =
      first.kept() && std::all_of(running_.begin(), running_.end(),
                                  [](const Ref<WriteRequest>& one) { return one->kept(); });
  if (!all_kept || !is_apart(first.range)) return false;
  const bool may_grow = run == waiting_.size() && bytes < kWorthATrip && settling_.empty();
  return !may_grow && window_.enter(bytes);
}

WriteTurns::Next WriteTurns::next() {
  Next next;
  if (exclusive_ || waiting_.empty()) return next;
  if (waiting_.front().waiter != nullptr) {
    if (!running_.empty()) return next;
    exclusive_ = true;
    next.waiter = waiting_.front().waiter;
    next.waiter->granted = true;
    waiting_.pop_front();
    return next;
  }
  uint64_t bytes = 0;
  const size_t run = run_length(bytes);
  if (running_.empty()) {
    window_.enter_anyway(bytes);
  } else if (!may_join(run, bytes)) {
    return next;
  }
  for (size_t i = 0; i < run; ++i) {
    next.writes.push_back(std::move(waiting_.front().write));
    waiting_.pop_front();
  }
  return next;
}

void WriteTurns::begun(const std::vector<Ref<WriteRequest>>& parts, Ref<WriteRequest> write) {
  write->order = parts.front()->order;
  for (size_t i = 1; i < parts.size(); ++i) unsettled_.erase(parts[i]->order);
  write->alone = !any_changing();
  for (const Ref<WriteRequest>& other : running_) other->alone = false;
  running_.push_back(std::move(write));
}

void WriteTurns::ended(const WriteRequest& write, Duration took, Duration timeout) {
  std::erase_if(running_, [&](const Ref<WriteRequest>& one) { return one.get() == &write; });
  const bool arrived = !write.origin.parts.empty() && write.origin.front() == nullptr;
  window_.leave(write.range.length_bytes, arrived, took, timeout);
}

std::vector<Settled> WriteTurns::settled(const WriteRequest& write) {
  unsettled_.erase(write.order);
  std::vector<Settled> done;
  while (!settling_.empty() &&
         (unsettled_.empty() || *unsettled_.begin() > settling_.front().up_to)) {
    done.push_back(std::move(settling_.front().done));
    settling_.pop_front();
  }
  return done;
}

bool WriteTurns::when_settled(Settled& done) {
  if (unsettled_.empty()) return false;
  settling_.push_back({.up_to = last_order_, .done = std::move(done)});
  return true;
}

WriteOverlay WriteTurns::overlay(ByteRange range) const {
  WriteOverlay overlay(kept_end_bytes());
  const auto add = [&](const WriteRequest& one) {
    if (!one.range.intersect(range).empty()) overlay.add(one.range, one.data);
  };
  for (const Ref<WriteRequest>& one : running_) {
    if (one->kept() && !one->finished) add(*one);
  }
  for (const Waiting& one : waiting_) {
    if (one.write && one.write->kept()) add(*one.write);
  }
  return overlay;
}

uint64_t WriteTurns::kept_end_bytes() const {
  uint64_t end = 0;
  for (const Ref<WriteRequest>& one : running_) {
    if (one->kept() && !one->finished) end = std::max(end, one->range.end_bytes());
  }
  for (const Waiting& one : waiting_) {
    if (one.write && one.write->kept()) end = std::max(end, one.write->range.end_bytes());
  }
  return end;
}

}  // namespace netfs
