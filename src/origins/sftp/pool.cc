#include "origins/sftp/pool.h"

#include <algorithm>
#include <utility>

#include "telemetry/log.h"

namespace netfs::origins::sftp {

namespace {

constexpr Duration kBackoffMin = std::chrono::milliseconds(100);
constexpr Duration kBackoffMax = std::chrono::seconds(5);
constexpr Duration kLook = std::chrono::milliseconds(250);  // how often ended ones are looked for
// 1 Gbit/s at 100 ms is 12.5 MB under way; a channel's window gives 2 MiB at most and its refills
// come in steps, so 12 carry it.
constexpr unsigned kConnectionsNear = 2;  // below 2 ms: one for each processor that ciphers
constexpr unsigned kConnectionsMid = 8;
constexpr unsigned kConnectionsFar = 12;  // from 60 ms on

}  // namespace

unsigned Pool::wanted_for(Duration round_trip) const {
  if (options_.connections_max > 0) return options_.connections_max;
  if (round_trip < std::chrono::milliseconds(2)) return kConnectionsNear;
  return round_trip < std::chrono::milliseconds(60) ? kConnectionsMid : kConnectionsFar;
}

Result<std::unique_ptr<Pool>> Pool::create(PoolOptions options, const Clock& clock) {
  std::unique_ptr<Pool> pool(new Pool(std::move(options), clock));
  Pool* raw = pool.get();
  pool->thread_ = sync::Thread("netfs-sftp-pool", [raw] { raw->manage(); });
  sync::MutexLock lock(pool->mutex_);
  while (!pool->first_tried_) pool->changed_.wait(pool->mutex_);
  if (pool->up_.empty()) return pool->last_error_;
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

void Pool::reap_locked(std::vector<Ref<Connection>>& dead) {
  for (size_t i = 0; i < up_.size();) {
    if (up_[i]->ended()) {
      ended_.push_back(std::move(up_[i]));
      up_.erase(up_.begin() + static_cast<ptrdiff_t>(i));
      if (up_.empty()) down_since_ = clock_.now();
    } else {
      ++i;
    }
  }
  for (size_t i = 0; i < ended_.size();) {
    // Ours is the last reference: nobody can take another, for it is in no list but this.
    if (ended_[i]->ref_count() == 1) {
      dead.push_back(std::move(ended_[i]));
      ended_.erase(ended_.begin() + static_cast<ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

void Pool::manage() {
  const std::vector<std::string> tuned = tuned_options(options_.target);
  Duration backoff = kBackoffMin;
  MonoTime next_try = clock_.now();
  for (;;) {
    std::vector<Ref<Connection>> dead;  // destroyed here, without the lock
    uint32_t serial = 0;
    {
      sync::MutexLock lock(mutex_);
      if (stopping_) break;
      reap_locked(dead);
      if (up_.size() < wanted_ && clock_.now() >= next_try) {
        serial = next_serial_++;
      } else if (dead.empty()) {
        changed_.wait_until(mutex_, clock_.now() + kLook);
        continue;
      }
    }
    dead.clear();
    if (serial == 0) continue;
    Result<Ref<Connection>> connected = Connection::connect(options_.target, tuned, clock_, serial);
    sync::MutexLock lock(mutex_);
    if (connected.ok()) {
      backoff = kBackoffMin;
      ++connects_;
      round_trip_ = connected.value()->round_trip();
      wanted_ = std::max(wanted_, wanted_for(round_trip_));
      up_.push_back(std::move(connected).value());
      down_since_ = {};
    } else {
      last_error_ = std::move(connected).error();
      if (up_.empty() && connects_ == 0) {
        first_tried_ = true;  // the mount fails; create() says why
        changed_.notify_all();
        break;
      }
      telemetry::log_warn("sftp", "{}; trying again in {} ms", last_error_.message(),
                          std::chrono::duration_cast<std::chrono::milliseconds>(backoff).count());
      next_try = clock_.now() + backoff;
      backoff = std::min(backoff * 2, kBackoffMax);
    }
    first_tried_ = true;
    changed_.notify_all();
  }
  std::vector<Ref<Connection>> all;
  {
    sync::MutexLock lock(mutex_);
    all.swap(up_);
    all.insert(all.end(), ended_.begin(), ended_.end());
    ended_.clear();
  }
  for (const Ref<Connection>& connection : all) connection->end(Error(ECANCELED, "sftp.close"));
}

Ref<Connection> Pool::try_acquire(const std::vector<uint32_t>& preferred) {
  sync::MutexLock lock(mutex_);
  Ref<Connection> best;
  Ref<Connection> best_preferred;
  for (const Ref<Connection>& connection : up_) {
    if (connection->ended()) continue;
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
    if (down_since_ == MonoTime{}) down_since_ = clock_.now();
    const MonoTime now = clock_.now();
    if (now - down_since_ > options_.target.timeout) return last_error_;
    if (deadline.passed(now)) return Error(ETIMEDOUT, "sftp.pool");
    const bool any =
        std::any_of(up_.begin(), up_.end(), [](const Ref<Connection>& c) { return !c->ended(); });
    if (!any) changed_.wait_until(mutex_, std::min(deadline.at, now + kLook));
  }
}

Ref<Connection> Pool::find(uint32_t serial) {
  sync::MutexLock lock(mutex_);
  for (const Ref<Connection>& connection : up_) {
    if (connection->serial() == serial && !connection->ended()) return connection;
  }
  return nullptr;
}

Pool::State Pool::state() const {
  sync::MutexLock lock(mutex_);
  unsigned up = 0;
  for (const Ref<Connection>& connection : up_) up += connection->ended() ? 0 : 1;
  return {.up = up,
          .wanted = wanted_,
          .reconnects = connects_ > wanted_ ? connects_ - wanted_ : 0,
          .round_trip = round_trip_,
          .last_error = up == 0 ? last_error_.message() : std::string()};
}

}  // namespace netfs::origins::sftp
