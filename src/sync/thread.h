#pragma once
// Thread: a named thread that is joined, never detached.
//
// The name (15 bytes at most are kept) is what ps, gdb and the live-request list show.  The
// destructor joins, so whoever owns a thread must have told it to stop.
//
//   Thread reader("netfs-fuse-0", [this] { read_loop(); });

#include <string>
#include <thread>
#include <utility>

#include "base/unique_function.h"

namespace netfs::sync {

class Thread {
 public:
  Thread() = default;
  Thread(std::string name, UniqueFunction<void()> body);
  Thread(Thread&&) = default;
  // Joins what it was before.
  Thread& operator=(Thread&& other) noexcept {
    join();
    thread_ = std::move(other.thread_);
    return *this;
  }
  ~Thread() { join(); }

  void join() {
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] bool joinable() const { return thread_.joinable(); }

 private:
  std::thread thread_;
};

// Processors this process may run on.
unsigned cpu_count();

}  // namespace netfs::sync
