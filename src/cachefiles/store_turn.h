#pragma once
// Store::Turn: the right to change the index, for a scope; waits for whoever has it.

#include "cachefiles/store.h"

namespace netfs::cachefiles {

class Store::Turn {
 public:
  explicit Turn(Store& store) : store_(store) {
    sync::MutexLock lock(store.mutex_);
    while (store.turn_taken_) store.turn_over_.wait(store.mutex_);
    store.turn_taken_ = true;
  }
  ~Turn() {
    sync::MutexLock lock(store_.mutex_);
    store_.turn_taken_ = false;
    store_.turn_over_.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Store& store_;
};

}  // namespace netfs::cachefiles
