#include "sync/thread_probe.h"

#include "sync/standing_lock.h"

namespace netfs::sync {

namespace {

constexpr lockdep::How kReads{.mode = lockdep::Mode::kRead};

lockdep::Segment publish() {
  lockdep::Context* context = lockdep::this_context();
  return context == nullptr ? lockdep::Segment{} : lockdep::process().publish(*context);
}

}  // namespace

ThreadProbe::ThreadProbe(const char* name)
    : map_(class_of_name("thread", name)), created_(publish()) {}

void ThreadProbe::begins(const char* name) {
  lockdep::thread_begins(name, created_);
  lockdep::acquire(map_, kReads, LOCKDEP_CALLER);
}

void ThreadProbe::ends() {
  lockdep::release(map_, LOCKDEP_CALLER);
  ended_ = lockdep::thread_ends();
}

void ThreadProbe::joining() {
  lockdep::sync(map_, {}, LOCKDEP_CALLER);
}

void ThreadProbe::joined() {
  lockdep::Context* context = lockdep::this_context();
  if (context != nullptr) lockdep::process().observe(*context, ended_);
}

// Several threads do a queue's work at once, so they are readers, and who waits for all is not.
WorkProbe::WorkProbe(const char* queue_name) : map_(class_of_name("work", queue_name)) {}

void WorkProbe::begins() {
  lockdep::acquire(map_, kReads, LOCKDEP_CALLER);
}

void WorkProbe::ends() {
  lockdep::release(map_, LOCKDEP_CALLER);
}

void WorkProbe::waiting() {
  lockdep::sync(map_, {}, LOCKDEP_CALLER);
}

}  // namespace netfs::sync
