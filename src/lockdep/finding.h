#pragma once
// Finding: a report as it is made under the validator's lock: plain memory of the arena, no heap.
// It becomes a Report, with strings and vectors, once the lock is given up.
//
// What it points to lives until reset: names and stacks.  The arrays are its own.

#include <cstdint>

#include "lockdep/report.h"
#include "lockdep/stack_depot.h"
#include "lockdep/text.h"

namespace netfs::lockdep {

struct ClassView {
  uint32_t id;
  uint32_t version;
  const char* name;
  char usage[4];
  uint8_t subclass;
  uint8_t wait_outer;
  uint8_t wait_inner;
};

struct FoundLock {
  ClassView lock_class;
  uint64_t address;
  uintptr_t ip;
  uint32_t stack;
  Mode mode;
  bool trylock;
  bool sync;
};

struct FoundContext {
  const char* name;
  uint64_t id;
  bool is_thread;
};

template <typename T>
struct FoundList {
  T* items;
  uint32_t count;
  uint32_t room;  // allocated
};

struct FoundEdge {
  FoundLock from;
  FoundLock to;
  FoundContext context;
  int64_t time_ns;
  bool declared;
  const char* run;  // null: this one
  FoundList<FoundLock> gates;
};

struct Finding {
  Finding* next = nullptr;
  ReportKind kind = ReportKind::kCircular;
  Verdict verdict = Verdict::kOrderOnly;
  Reason reason;
  bool joined = false;
  FoundContext context{};
  FoundLock taking{};
  FoundLock holding{};    // lock_class.name is null where there is none
  FoundContext holder{};  // of `holding`; name is null where it is not said
  FoundList<FoundEdge> chain{};
  FoundList<FoundLock> held{};
  FoundList<FoundContext> waiting{};
  uint32_t stack = 0;
  int signal = 0;
  Text<32> old_state;
  Text<32> new_state;
  uint32_t old_state_stack = 0;
  uint32_t unsafe_state_stack = 0;
  ClassView safe_class{};
  ClassView unsafe_class{};
  bool compared = false;
  int compare_result = 0;
  uint64_t freed_from = 0;
  uint64_t freed_to = 0;
  unsigned context_wait = 0;
  Text<96> message;
};

// Allocates from the heap.
Report make_report(const Finding& finding, const StackDepot& stacks);
// Gives back all that the finding owns, and itself.
void free_finding(Arena& arena, Finding* finding);

}  // namespace netfs::lockdep
