#include "sync/thread.h"

#include <csignal>
#include <pthread.h>
#include <sched.h>

namespace netfs::sync {

namespace {

// Signals belong to the main thread: what a worker inherits blocked stays blocked.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

Thread::Thread(std::string name, UniqueFunction<void()> body) {
  const SignalsBlocked blocked;
  probe_ = std::make_unique<ThreadProbe>(name.c_str());
  auto run = [probe = probe_.get(), name = std::move(name), body = std::move(body)]() mutable {
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    probe->begins(name.c_str());
    body();
    body = UniqueFunction<void()>();  // what it owned goes while this is still a thread of ours
    probe->ends();
  };
  thread_ = std::thread(std::move(run));
}

unsigned cpu_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  const int count = CPU_COUNT(&set);
  return count > 0 ? static_cast<unsigned>(count) : 1;
}

}  // namespace netfs::sync
