#include "lockdep_preload/timing.h"

#include <cstring>
#include <new>

#include "lockdep_preload/class_words.h"
#include "lockdep_preload/hook.h"
#include "lockdep_preload/lock_times.h"
#include "lockdep_preload/memory.h"

namespace netfs::lockdep_preload {

bool g_timing = false;

namespace {

constexpr unsigned kHeldMax = 32;  // locks of one thread that are timed at once

struct Hold {
  const Record* record;
  uint64_t since;
};
__thread Hold t_held[kHeldMax] __attribute__((tls_model("initial-exec")));
__thread unsigned t_count __attribute__((tls_model("initial-exec"))) = 0;

// Null: no memory.
LockTimes* times_of(Site& site) {
  LockTimes* times = site.times.load(std::memory_order_acquire);
  if (times != nullptr) return times;
  const Inside inside;
  void* memory = arena().allocate(sizeof(LockTimes));
  if (memory == nullptr) return nullptr;
  auto* made = new (memory) LockTimes;
  if (site.times.compare_exchange_strong(times, made, std::memory_order_acq_rel)) return made;
  arena().release(memory, sizeof(LockTimes));
  return times;
}

}  // namespace

void time_waited(const Record& record, uint64_t ns) {
  if (LockTimes* times = times_of(*record.site)) times->waited.add(ns);
}

void hold_begins(const Record& record) {
  if (t_count == kHeldMax) {  // the oldest goes untimed
    std::memmove(t_held, t_held + 1, sizeof t_held - sizeof *t_held);
    --t_count;
  }
  t_held[t_count++] = {.record = &record, .since = times_now_ns()};
}

void hold_ends(const Record& record) {
  for (unsigned i = t_count; i > 0; --i) {
    if (t_held[i - 1].record != &record) continue;
    const uint64_t since = t_held[i - 1].since;
    std::memmove(t_held + i - 1, t_held + i, (t_count - i) * sizeof *t_held);
    --t_count;
    if (LockTimes* times = times_of(*record.site)) times->held.add(times_now_ns() - since);
    return;
  }
}

std::string timing_text(lockdep::Symbolizer& symbolizer) {
  if (!g_timing) return {};
  std::vector<NamedTimes> named;
  for (uint32_t i = 0; i < site_count(); ++i) {
    const Site& site = site_at(i);
    const LockTimes* times = site.times.load(std::memory_order_acquire);
    if (times == nullptr) continue;
    named.push_back({.name = class_words(site.name, symbolizer), .times = times});
  }
  return times_text(std::move(named));
}

}  // namespace netfs::lockdep_preload
