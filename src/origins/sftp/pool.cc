#include "origins/sftp/pool.h"

#include <algorithm>
#include <poll.h>
#include <utility>

#include "telemetry/log.h"

namespace netfs::origins::sftp {

namespace {

constexpr Duration kBackoffMin = std::chrono::milliseconds(100);
constexpr Duration kBackoffMax = std::chrono::seconds(5);
constexpr Duration kBackoffMaxWhileUp = std::chrono::minutes(1);
constexpr Duration kLook = std::chrono::milliseconds(100);  // for the last user of an ended one
constexpr Duration kIdle = std::chrono::seconds(5);
// A near server lets us in within this, even a busy one mostly; a login that takes longer tells of
// a far link.
constexpr Duration kFarSign = std::chrono::milliseconds(250);
// Opened then, before the delay is known.  No more: should the first be refused, some of these have
// shown their key as well, and servers count that.
constexpr unsigned kOpenedAhead = 3;
// sshd's MaxStartups begins to turn away at ten.
constexpr size_t kConnectingMax = 8;

}  // namespace

unsigned connections_for(Duration round_trip) {
  // Below 2 ms one window is gigabytes a second: two, so that two processors cipher.  1 Gbit/s is
  // 2.5 MB under way at 20 ms and 12.5 MB at 100 ms, against 2 MiB a connection.
  if (round_trip < std::chrono::milliseconds(2)) return 2;
  if (round_trip < std::chrono::milliseconds(30)) return 4;
  if (round_trip < std::chrono::milliseconds(75)) return 8;
  return 9;  // the first, and one round of kConnectingMax
}

Result<std::unique_ptr<Pool>> Pool::create(PoolOptions options, const Clock& clock) {
  std::unique_ptr<Pool> pool(new Pool(std::move(options), clock));
  Pool* raw = pool.get();
  pool->thread_ = sync::Thread("netfs-sftp-pool", [raw] { raw->manage(); });
  sync::MutexLock lock(raw->mutex_);
  while (raw->up_.empty() && !raw->given_up_) raw->changed_.wait(raw->mutex_);
  if (raw->given_up_) {
    const Error error = raw->last_error_;
    lock.unlock();
    return error;
  }
  lock.unlock();
  return pool;
}

Pool::~Pool() {
  {
    sync::MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Pool::connection_changed() {
  sync::MutexLock lock(mutex_);
  news_ = true;
  changed_.notify_all();
}

void Pool::count_new_locked(const Connection& connection) {
  was_up_ = true;
  backoff_ = {};
  down_since_ = {};
  round_trip_ = std::min(round_trip_, connection.greeting().round_trip);
  wanted_ = options_.connections_max > 0 ? options_.connections_max : connections_for(round_trip_);
}

void Pool::count_ended_locked(const Connection& connection, Step& step) {
  const Error reason = connection.end_reason();
  // The mount fails; create() says why.  What was opened ahead of the first may fail.
  if (!was_up_ && connection.serial() == kFirstSerial) given_up_ = true;
  if (reason.code() == ECANCELED) return;  // it was one too many
  if (connection.was_up()) {
    ++lost_;
    step.log.push_back(fmt::format("connection {} to {} was lost: {}", connection.serial(),
                                   options_.target.name(), reason.message()));
  } else {
    // One line a series of failures: who is down stays down for a while.
    if (backoff_ == Duration{} && !given_up_) step.log.push_back(reason.message());
    const Duration most = up_.empty() ? kBackoffMax : kBackoffMaxWhileUp;
    backoff_ = std::clamp(backoff_ * 2, kBackoffMin, most);
    next_try_ = clock_.now() + backoff_;
  }
  last_error_ = Error(was_up_ ? ENOTCONN : reason.code(), reason.context(), reason.message());
}

// Puts each connection where its state belongs.
void Pool::sort_out_locked(Step& step) {
  const bool had_one = !up_.empty();
  for (std::vector<Ref<Connection>>* list : {&connecting_, &up_}) {
    for (size_t i = 0; i < list->size();) {
      Ref<Connection> connection = (*list)[i];
      const bool leaves = connection->ended() || (list == &connecting_ && connection->up());
      if (!leaves) {
        ++i;
        continue;
      }
      list->erase(list->begin() + static_cast<ptrdiff_t>(i));
      if (connection->ended()) {
        count_ended_locked(*connection, step);
        ended_.push_back(std::move(connection));
      } else {
        count_new_locked(*connection);
        up_.push_back(std::move(connection));
      }
    }
  }
  if (had_one && up_.empty()) down_since_ = clock_.now();
}

// The link is nearer than was thought: what is too much leaves once it is idle.
void Pool::drop_surplus_locked() {
  if (!was_up_ || !connecting_.empty()) return;
  for (size_t i = up_.size(); i > wanted_; --i) {
    up_[i - 1]->end_if_idle(Error(ECANCELED, "sftp.surplus"));
  }
}

// How many connections there should be now, as far as is known.
unsigned Pool::aimed_at_locked() const {
  if (was_up_ || next_serial_ == kFirstSerial || clock_.now() < first_begun_ + kFarSign) {
    return wanted_;
  }
  const unsigned most = options_.connections_max > 0 ? options_.connections_max : kOpenedAhead + 1;
  return std::min(most, kOpenedAhead + 1);
}

unsigned Pool::to_start_locked() const {
  const unsigned wanted = aimed_at_locked();
  const size_t have = connecting_.size() + up_.size();
  if (have >= wanted || clock_.now() < next_try_) return 0;
  // After a failure one at a time, until one gets in again.
  const size_t most = backoff_ == Duration{} ? kConnectingMax : 1;
  if (connecting_.size() >= most) return 0;
  return static_cast<unsigned>(std::min(wanted - have, most - connecting_.size()));
}

// Waits until there is something to do.
Pool::Step Pool::next_step() {
  Step step;
  sync::MutexLock lock(mutex_);
  for (;;) {
    news_ = false;
    sort_out_locked(step);
    drop_surplus_locked();
    changed_.notify_all();
    step.stop = stopping_ || given_up_;
    step.start = step.stop ? 0 : to_start_locked();
    for (size_t i = 0; i < ended_.size();) {
      // Ours is the last reference: nobody can take another, for it is in no list but this.
      if (ended_[i]->ref_count() == 1) {
        step.dead.push_back(std::move(ended_[i]));
        ended_.erase(ended_.begin() + static_cast<ptrdiff_t>(i));
      } else {
        ++i;
      }
    }
    if (step.stop || step.start > 0 || !step.dead.empty() || !step.log.empty()) return step;
    MonoTime until = clock_.now() + (ended_.empty() ? kIdle : kLook);
    if (connecting_.size() + up_.size() < wanted_ && next_try_ > clock_.now()) {
      until = std::min(until, next_try_);
    }
    const MonoTime far_at = first_begun_ + kFarSign;
    if (!was_up_ && far_at > clock_.now()) until = std::min(until, far_at);
    while (!news_ && !stopping_ && changed_.wait_until(mutex_, until)) {
    }
  }
}

void Pool::start_one(const std::vector<std::string>& tuned) {
  uint32_t serial = 0;
  {
    sync::MutexLock lock(mutex_);
    serial = next_serial_++;
    if (serial == kFirstSerial) first_begun_ = clock_.now();
  }
  Result<Ref<Connection>> started =
      Connection::start(options_.target, tuned, clock_, serial, *this);
  sync::MutexLock lock(mutex_);
  if (started.ok()) {
    connecting_.push_back(std::move(started).value());
    return;
  }
  // No process or no descriptor was to be had.
  last_error_ = std::move(started).error();
  backoff_ = std::clamp(backoff_ * 2, kBackoffMin, kBackoffMax);
  next_try_ = clock_.now() + backoff_;
  given_up_ = given_up_ || (!was_up_ && serial == kFirstSerial);
}

void Pool::manage() {
  const std::vector<std::string> tuned = tuned_options(options_.target);
  for (;;) {
    const Step step = next_step();
    for (const std::string& line : step.log) telemetry::log_warn("sftp", "{}", line);
    if (step.stop) break;
    for (unsigned i = 0; i < step.start; ++i) start_one(tuned);
  }
  close_all();
  sync::MutexLock lock(mutex_);
  changed_.notify_all();
}

void Pool::close_all() {
  std::vector<Ref<Connection>> all;
  {
    sync::MutexLock lock(mutex_);
    for (std::vector<Ref<Connection>>* list : {&connecting_, &up_, &ended_}) {
      all.insert(all.end(), list->begin(), list->end());
      list->clear();
    }
  }
  for (const Ref<Connection>& connection : all) connection->end(Error(ECANCELED, "sftp.close"));
  for (Ref<Connection>& connection : all) {
    // Whoever was told just now still holds it, on its way out; a connection's own thread must not
    // be the one that destroys it.
    while (connection->ref_count() > 1) ::poll(nullptr, 0, 1);
    connection = nullptr;
  }
}

Ref<Connection> Pool::try_acquire(const std::vector<uint32_t>& preferred) {
  sync::MutexLock lock(mutex_);
  Ref<Connection> best;
  Ref<Connection> best_preferred;
  for (const Ref<Connection>& connection : up_) {
    if (!connection->up()) continue;
    const auto less = [&](const Ref<Connection>& than) {
      return !than || connection->bytes_wanted.load() < than->bytes_wanted.load();
    };
    if (less(best)) best = connection;
    const bool wanted =
        std::find(preferred.begin(), preferred.end(), connection->serial()) != preferred.end();
    if (wanted && less(best_preferred)) best_preferred = connection;
  }
  if (best_preferred &&
      best_preferred->bytes_wanted.load() < best->bytes_wanted.load() + kBusyBytes) {
    return best_preferred;
  }
  return best;
}

Result<Ref<Connection>> Pool::acquire(Deadline deadline) {
  for (;;) {
    if (Ref<Connection> connection = try_acquire({})) return connection;
    sync::MutexLock lock(mutex_);
    if (stopping_) return Error(ECANCELED, "sftp.pool");
    const MonoTime now = clock_.now();
    if (down_since_ != MonoTime{} && now - down_since_ > options_.target.timeout) {
      return last_error_;
    }
    if (deadline.passed(now)) {
      return Error(ETIMEDOUT, "sftp.pool", last_error_.message());
    }
    // All that is up may have ended unnoticed: the thread tells when it has looked.
    const bool any =
        std::any_of(up_.begin(), up_.end(), [](const Ref<Connection>& c) { return c->up(); });
    if (!any) changed_.wait_until(mutex_, std::min(deadline.at, now + kLook));
  }
}

Ref<Connection> Pool::find(uint32_t serial) {
  sync::MutexLock lock(mutex_);
  for (const Ref<Connection>& connection : up_) {
    if (connection->serial() == serial && connection->up()) return connection;
  }
  return nullptr;
}

Pool::State Pool::state() const {
  sync::MutexLock lock(mutex_);
  unsigned up = 0;
  size_t open_handles = 0;
  for (const Ref<Connection>& connection : up_) {
    up += connection->up() ? 1 : 0;
    open_handles += connection->handles().open_count();
  }
  return {.up = up,
          .wanted = wanted_,
          .lost = lost_,
          .open_handles = open_handles,
          .round_trip = was_up_ ? round_trip_ : Duration{},
          .last_error = up == 0 ? last_error_.message() : std::string()};
}

}  // namespace netfs::origins::sftp
