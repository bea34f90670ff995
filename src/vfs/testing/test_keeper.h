#pragma once
// TestKeeper: keeps descriptors from one file system of a test to the next.  Thread-safe.

#include <cstddef>
#include <map>
#include <unistd.h>
#include <utility>

#include "sync/mutex.h"
#include "vfs/descriptor_keeper.h"
#include "vfs/testing/lock_classes.h"

namespace netfs::vfs {

class TestKeeper final : public DescriptorKeeper {
 public:
  bool keep(uint64_t key, int fd) override {
    sync::MutexLock lock(mutex_);
    if (refuses_ > 0) return --refuses_, false;
    fds_.insert_or_assign(key, UniqueFd(::dup(fd)));
    return true;
  }
  // The next ones are not kept.
  void refuse(size_t count) {
    sync::MutexLock lock(mutex_);
    refuses_ = count;
  }
  // As if what it keeps by one key had been kept by the next one, and so on.
  void shift() {
    sync::MutexLock lock(mutex_);
    if (fds_.empty()) return;
    UniqueFd last = std::move(fds_.rbegin()->second);
    for (auto& [key, fd] : fds_) std::swap(fd, last);
  }
  void drop(uint64_t key) override {
    sync::MutexLock lock(mutex_);
    ++drops_;
    fds_.erase(key);
  }
  std::map<uint64_t, UniqueFd> take() override {
    sync::MutexLock lock(mutex_);
    std::map<uint64_t, UniqueFd> copies;
    for (const auto& [key, fd] : fds_) copies.emplace(key, ::dup(fd.get()));
    return copies;
  }
  size_t count() {
    sync::MutexLock lock(mutex_);
    return fds_.size();
  }
  // So far.
  size_t drops() {
    sync::MutexLock lock(mutex_);
    return drops_;
  }

 private:
  sync::Mutex mutex_{kTestOriginLock};
  std::map<uint64_t, UniqueFd> fds_ GUARDED_BY(mutex_);
  size_t drops_ GUARDED_BY(mutex_) = 0;
  size_t refuses_ GUARDED_BY(mutex_) = 0;
};

}  // namespace netfs::vfs
