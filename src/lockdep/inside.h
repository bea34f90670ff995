#pragma once
// Inside: this thread is in the validator.  Whatever it does meanwhile, in a signal handler that
// interrupted it or in a sink, is not validated: locks taken then are ignored, and so is their
// release, for both happen before the outer event ends.
//
//   const Inside inside;
//   if (!inside) return;

#include <atomic>

namespace netfs::lockdep {

extern __thread int t_inside __attribute__((tls_model("initial-exec")));

class Inside {
 public:
  Inside() : first_(t_inside == 0) {
    ++t_inside;
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  ~Inside() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    --t_inside;
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  explicit operator bool() const { return first_; }

 private:
  bool first_;
};

}  // namespace netfs::lockdep
