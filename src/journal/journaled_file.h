#pragma once
// JournaledFile: an open file of a JournaledOrigin: a node that is held, and a handle of the inner
// origin if that has something of it.  What it is opened without is opened by its first read, by
// where the node is then: whoever opened it anew by its name might read somebody else's.
//
// Thread-safe.

#include <memory>
#include <string>
#include <utility>

#include "journal/journal.h"
#include "journal/lock_classes.h"
#include "netfs/origin.h"
#include "sync/mutex.h"

namespace netfs::journal {

class JournaledFile final : public OriginFile {
 public:
  // `node` is held already.  `inner` reads, if it is not null.
  JournaledFile(Journal& journal, NodeId node, std::shared_ptr<OriginFile> inner)
      : journal_(journal), node_(node), inner_(std::move(inner)) {}
  ~JournaledFile() override { journal_.close_node(node_); }

  [[nodiscard]] NodeId node() const { return node_; }
  [[nodiscard]] std::shared_ptr<OriginFile> inner() const EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    return inner_;
  }
  // In the place of `before`, which is of no use any more, or of none.
  void take_inner(const std::shared_ptr<OriginFile>& before, std::shared_ptr<OriginFile> inner)
      EXCLUDES(mutex_) {
    sync::MutexLock lock(mutex_);
    if (inner_ == before) inner_.swap(inner);
    lock.unlock();  // what is closed may take its time
  }

 private:
  Journal& journal_;
  const NodeId node_;
  mutable sync::Mutex mutex_{kReaderLock};
  std::shared_ptr<OriginFile> inner_ GUARDED_BY(mutex_);
};

}  // namespace netfs::journal
