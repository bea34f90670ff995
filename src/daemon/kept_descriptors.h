#pragma once
// KeptDescriptors: a mount's descriptors that outlive its worker, kept by the supervisor.
//
// Thread-safe.  The link outlives it.

#include <map>
#include <utility>

#include "base/ref.h"
#include "daemon/lock_classes.h"
#include "daemon/supervisor_link.h"
#include "sync/mutex.h"
#include "vfs/descriptor_keeper.h"

namespace netfs::daemon {

class KeptDescriptors final : public RefCounted<KeptDescriptors>, public vfs::DescriptorKeeper {
 public:
  // `id`: of the mount; `before`: what the worker before has left.
  KeptDescriptors(SupervisorLink& link, uint64_t id, std::map<uint64_t, UniqueFd> before = {})
      : link_(link), id_(id), before_(std::move(before)) {}

  bool keep(uint64_t key, int fd) override { return link_.keep_descriptor(id_, key, fd); }
  void drop(uint64_t key) override { link_.drop_descriptor(id_, key); }
  std::map<uint64_t, UniqueFd> take() override EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    return std::exchange(before_, {});
  }

 private:
  SupervisorLink& link_;
  const uint64_t id_;
  sync::Mutex mutex_{kKeptDescriptorsLock};
  std::map<uint64_t, UniqueFd> before_ GUARDED_BY(mutex_);
};

}  // namespace netfs::daemon
