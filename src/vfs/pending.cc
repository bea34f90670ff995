#include "vfs/pending.h"

#include <cerrno>

namespace netfs::vfs {

void Pending::leave() {
  table_.remove(unique_);
}

Ref<Pending> PendingTable::add(fuse::Reply reply, Interrupts interrupts) {
  Ref<Pending> pending = make_ref<Pending>(*this, std::move(reply), interrupts);
  int code = 0;
  {
    // An interrupt, or close(), that came before is found here; one that comes now waits for the
    // lock, and then finds the request listed.
    sync::MutexLock lock(mutex_);
    waiting_[pending->unique_] = pending;
    const bool interrupted = interrupts == Interrupts::kTaken && pending->reply_.interrupted();
    code = interrupted ? EINTR : closed_;
  }
  if (code != 0) pending->abandon(code);
  return pending;
}

void PendingTable::interrupt(uint64_t unique) {
  Ref<Pending> pending;
  {
    sync::MutexLock lock(mutex_);
    const auto found = waiting_.find(unique);
    if (found == waiting_.end()) return;
    pending = found->second;
  }
  if (pending->interrupts_ == Interrupts::kTaken) pending->abandon(EINTR);
}

void PendingTable::close(int code) {
  std::vector<Ref<Pending>> all;
  {
    sync::MutexLock lock(mutex_);
    closed_ = code;
    for (const auto& [unique, pending] : waiting_) all.push_back(pending);
  }
  for (const Ref<Pending>& pending : all) pending->abandon(code);
}

size_t PendingTable::count() const {
  sync::MutexLock lock(mutex_);
  return waiting_.size();
}

void PendingTable::remove(uint64_t unique) {
  Ref<Pending> pending;  // perhaps the last reference: dropped after the lock
  sync::MutexLock lock(mutex_);
  const auto found = waiting_.find(unique);
  if (found == waiting_.end()) return;
  pending = std::move(found->second);
  waiting_.erase(found);
}

}  // namespace netfs::vfs
