#include "netfs/testing/simulated_locks.h"

#include <atomic>
#include <cerrno>
#include <sys/mman.h>
#include <sys/stat.h>

#include "netfs/lock_classes.h"

namespace netfs {

namespace {

uint64_t number_of(const UniqueFd& descriptor) {
  struct stat st {};
  return ::fstat(descriptor.get(), &st) == 0 ? st.st_ino : 0;
}

}  // namespace

struct SimulatedLocks::State {
  using File = std::pair<std::string, LockKind>;

  sync::Mutex mutex{kSimulatedOriginLock};
  sync::CondVar changed;
  std::map<File, LockRanges> files GUARDED_BY(mutex);
  struct Left {
    File file;
    uint64_t owner = 0;
    NodeInfo info;
  };
  // Of holders of a dead process, by the number of their descriptor.
  std::map<uint64_t, Left> left GUARDED_BY(mutex);
  Counts counts GUARDED_BY(mutex);
  uint64_t next_owner GUARDED_BY(mutex) = 1;
  size_t held GUARDED_BY(mutex) = 0;
  int error GUARDED_BY(mutex) = 0;
  int open_error GUARDED_BY(mutex) = 0;
  bool holding GUARDED_BY(mutex) = false;
  bool dying GUARDED_BY(mutex) = false;
  std::atomic<uint64_t> taken{0};  // how often
};

struct SimulatedLocks::Holder final : OriginLock {
  Holder(std::shared_ptr<State> s, std::string path, LockKind kind, NodeInfo its)
      : state(std::move(s)),
        file(std::move(path), kind),
        fd(::memfd_create("lock", MFD_CLOEXEC)),
        info(std::move(its)),
        taken_before(state->taken) {
    sync::MutexLock lock(state->mutex);
    owner = state->next_owner++;
    ++state->counts.holders;
    ++state->counts.opens;
  }
  Holder(std::shared_ptr<State> s, State::Left left, UniqueFd descriptor)
      : state(std::move(s)),
        file(std::move(left.file)),
        fd(std::move(descriptor)),
        info(std::move(left.info)),
        taken_before(state->taken),
        owner(left.owner) {
    sync::MutexLock lock(state->mutex);
    ++state->counts.holders;
  }
  ~Holder() override {
    sync::MutexLock lock(state->mutex);
    --state->counts.holders;
    if (state->dying) {
      state->left[number_of(fd)] = {file, owner, info};
    } else {
      state->files[file].set({owner, LockMode::kNone, {}, 0});
    }
  }
  [[nodiscard]] int descriptor() const override { return fd.get(); }
  [[nodiscard]] bool is_lost() const override { return state->taken > taken_before; }

  const std::shared_ptr<State> state;
  const State::File file;
  const UniqueFd fd;
  const NodeInfo info;  // of its file, when it was opened
  const uint64_t taken_before;
  uint64_t owner = 0;
};

SimulatedLocks::SimulatedLocks(Origin& tree) : tree_(tree), state_(std::make_shared<State>()) {}

SimulatedLocks::Counts SimulatedLocks::counts() const {
  sync::MutexLock lock(state_->mutex);
  return state_->counts;
}

void SimulatedLocks::set_error(int error) {
  sync::MutexLock lock(state_->mutex);
  state_->error = error;
}

void SimulatedLocks::set_open_error(int error) {
  sync::MutexLock lock(state_->mutex);
  state_->open_error = error;
}

void SimulatedLocks::hold() {
  sync::MutexLock lock(state_->mutex);
  state_->holding = true;
}

void SimulatedLocks::release() {
  sync::MutexLock lock(state_->mutex);
  state_->holding = false;
  state_->changed.notify_all();
}

bool SimulatedLocks::wait_held(size_t count) {
  const MonoTime until = Clock::system().now() + std::chrono::minutes(1);
  sync::MutexLock lock(state_->mutex);
  while (state_->held < count) {
    if (!state_->changed.wait_until(state_->mutex, until)) return false;
  }
  return true;
}

Result<OriginLocks::Opened> SimulatedLocks::open(const FileAt& file, LockKind kind,
                                                 Deadline deadline) {
  {
    sync::MutexLock lock(state_->mutex);
    if (state_->open_error != 0) return Error(state_->open_error, "simulated.lock");
  }
  Opened opened;
  opened.info = TRY(tree_.stat(file.path, deadline));
  opened.lock = std::make_unique<Holder>(state_, file.path, kind, opened.info);
  return opened;
}

void SimulatedLocks::die() {
  sync::MutexLock lock(state_->mutex);
  state_->dying = true;
}

void SimulatedLocks::live() {
  sync::MutexLock lock(state_->mutex);
  state_->dying = false;
}

void SimulatedLocks::take_away() {
  sync::MutexLock lock(state_->mutex);
  state_->files.clear();
  ++state_->taken;
}

Result<OriginLocks::Opened> SimulatedLocks::take_over(UniqueFd descriptor, LockKind /*kind*/) {
  State::Left left;
  {
    sync::MutexLock lock(state_->mutex);
    const auto found = state_->left.find(number_of(descriptor));
    if (found == state_->left.end()) return Error(EBADF, "simulated.lock");
    left = std::move(found->second);
    state_->left.erase(found);
  }
  Opened taken;
  taken.info = left.info;
  taken.lock = std::make_unique<Holder>(state_, std::move(left), std::move(descriptor));
  return taken;
}

Result<void> SimulatedLocks::set(OriginLock& lock, LockMode mode, const LockSpan& span,
                                 Deadline /*deadline*/) {
  const auto& holder = static_cast<const Holder&>(lock);
  State& state = *state_;
  sync::MutexLock guard(state.mutex);
  ++state.counts.sets;
  ++state.held;
  state.changed.notify_all();
  while (state.holding) state.changed.wait(state.mutex);
  --state.held;
  if (state.error != 0) return Error(state.error, "simulated.lock");
  if (holder.is_lost()) return Error(ENOTCONN, "simulated.lock");
  LockRanges& ranges = state.files[holder.file];
  const LockedRange wanted{holder.owner, mode, span, 0};
  if (ranges.in_the_way(wanted)) {
    if (holder.file.second == LockKind::kWhole) ranges.set({holder.owner, LockMode::kNone, {}, 0});
    return Error(EAGAIN, "simulated.lock");
  }
  ranges.set(wanted);
  return {};
}

Result<std::optional<LockedRange>> SimulatedLocks::find(OriginLock& lock, LockMode mode,
                                                        const LockSpan& span,
                                                        Deadline /*deadline*/) {
  const auto& holder = static_cast<const Holder&>(lock);
  sync::MutexLock guard(state_->mutex);
  return state_->files[holder.file].in_the_way({holder.owner, mode, span, 0});
}

}  // namespace netfs
