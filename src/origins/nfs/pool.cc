#include "origins/nfs/pool.h"

#include <cerrno>
#include <spdlog/fmt/fmt.h>

namespace netfs::origins::nfs {

Pool::Pool(const RpcTarget& target, unsigned connections, Duration silence) {
  connections_.reserve(connections);
  for (unsigned i = 0; i < connections; ++i) {
    connections_.push_back(
        std::make_unique<Connection>(Connection::Options{.name = fmt::format("netfs-nfs-{}", i),
                                                         .target = target,
                                                         .silence = silence,
                                                         .changed = [this] { changed(); }}));
  }
}

void Pool::changed() {
  sync::MutexLock lock(mutex_);
  ++changes_;
  change_.notify_all();
}

Connection* Pool::try_acquire() {
  Connection* best = nullptr;
  for (const std::unique_ptr<Connection>& connection : connections_) {
    if (connection->up() && (best == nullptr || connection->load() < best->load())) {
      best = connection.get();
    }
  }
  return best;
}

Result<Connection*> Pool::acquire(Deadline deadline) {
  for (;;) {
    uint64_t seen = 0;
    {
      sync::MutexLock lock(mutex_);
      seen = changes_;
    }
    if (Connection* connection = try_acquire(); connection != nullptr) return connection;
    sync::MutexLock lock(mutex_);
    while (changes_ == seen) {
      if (!change_.wait_until(mutex_, deadline.at) && changes_ == seen) {
        lock.unlock();
        return Error(ENOTCONN, "nfs.connect", state().last_error);
      }
    }
    if (deadline.passed(Clock::system().now())) {
      lock.unlock();
      return Error(ENOTCONN, "nfs.connect", state().last_error);
    }
  }
}

Pool::State Pool::state() const {
  State state{.wanted = connections_.size()};
  for (const std::unique_ptr<Connection>& connection : connections_) {
    if (connection->up()) ++state.up;
    state.losses += connection->losses();
    state.in_flight += connection->load();
    if (std::string why = connection->last_error(); !why.empty()) state.last_error = std::move(why);
  }
  return state;
}

}  // namespace netfs::origins::nfs
