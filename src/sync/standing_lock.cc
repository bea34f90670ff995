#include "sync/standing_lock.h"

#include <atomic>
#include <map>
#include <mutex>
#include <string>

namespace netfs::sync {

namespace {

std::atomic<StandingLock*> all{nullptr};
std::mutex making;  // below the validator: no class, and nothing is taken under it

StandingLock* find(const LockClass& lock_class) {
  StandingLock* one = all.load(std::memory_order_acquire);
  while (one != nullptr && &one->of != &lock_class) one = one->next;
  return one;
}

}  // namespace

StandingLock::StandingLock(const LockClass& lock_class)
    : of(lock_class), map(lock_class), holder(lockdep::process(), lock_class.name()) {
  lockdep::process().acquire(holder, map, {.mode = lockdep::Mode::kRead}, LOCKDEP_CALLER);
}

StandingLock& standing_lock(const LockClass& lock_class) {
  if (StandingLock* known = find(lock_class)) return *known;
  std::lock_guard<std::mutex> lock(making);
  if (StandingLock* known = find(lock_class)) return *known;
  auto* made = new StandingLock(lock_class);
  made->next = all.load(std::memory_order_relaxed);
  all.store(made, std::memory_order_release);
  return *made;
}

void stop_making_standing_locks() {
  making.lock();
}

void go_on_making_standing_locks() {
  making.unlock();
}

const LockClass& class_of_name(const char* what, const char* name) {
  std::string stem(name);
  const size_t last = stem.find_last_not_of("0123456789-");
  stem.resize(last == std::string::npos ? 0 : last + 1);
  // Names are few; their classes, and this table, live for ever.
  static auto* classes = new std::map<std::string, const LockClass*>;
  std::lock_guard<std::mutex> lock(making);
  const auto [at, is_new] = classes->try_emplace(std::string(what) + " " + stem, nullptr);
  if (is_new) at->second = new LockClass(at->first.c_str(), lockdep::kMapRules);
  return *at->second;
}

}  // namespace netfs::sync
