#pragma once
// Thread: a named thread that is joined, never detached.
//
// The name (15 bytes at most are kept) is what ps, gdb and the live-request list show.  The
// destructor joins, so whoever owns a thread must have told it to stop.
//
// Errors: std::system_error where the system gives no thread.
//
//   Thread reader("netfs-fuse-0", [this] { read_loop(); });

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/unique_function.h"
#include "sync/thread_probe.h"

namespace netfs::sync {

class Thread {
 public:
  Thread() = default;
  Thread(std::string name, UniqueFunction<void()> body);
  Thread(Thread&&) = default;
  // Joins what it was before.
  Thread& operator=(Thread&& other) noexcept {
    join();
    probe_ = std::move(other.probe_);
    thread_ = std::move(other.thread_);
    return *this;
  }
  ~Thread() { join(); }

  void join() {
    if (!thread_.joinable()) return;
    probe_->joining();
    thread_.join();
    probe_->joined();
  }
  [[nodiscard]] bool joinable() const { return thread_.joinable(); }

 private:
  std::unique_ptr<ThreadProbe> probe_;  // the running thread uses it too
  std::thread thread_;
};

// Processors this process may run on.
unsigned cpu_count();

}  // namespace netfs::sync
