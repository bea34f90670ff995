// Locks on the heap that no init call made, behind a class of the program's own: one place locks
// them all, and only what allocated them tells them apart.

#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "tests/lockdep/scenarios.h"

namespace scenarios {
namespace {

class Lock {
 public:
  [[gnu::noinline]] void lock() { mutex_.lock(); }
  [[gnu::noinline]] void unlock() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

struct Account {
  long balance = 0;
  Lock lock;
};
struct Journal {
  Lock head;
  long entries[4] = {};
  Lock tail;
};

void under(Lock& outer, Lock& inner) {
  outer.lock();
  inner.lock();
  inner.unlock();
  outer.unlock();
}

// An order of three kinds, kept by many: by the place that locks they would be one class.
void wrapped_in_order() {
  std::vector<std::unique_ptr<Account>> accounts;
  std::vector<std::unique_ptr<Journal>> journals;
  for (int i = 0; i < 3; ++i) {
    accounts.push_back(std::make_unique<Account>());
    journals.push_back(std::make_unique<Journal>());
  }
  for (const auto& account : accounts) {
    for (const auto& journal : journals) {
      under(account->lock, journal->head);
      under(journal->head, journal->tail);
    }
  }
}

// Half of an inversion each: other objects in each run.
void wrapped_half(bool account_first) {
  const auto account = std::make_unique<Account>();
  const std::unique_ptr<Journal> journal(new (std::nothrow) Journal);
  if (account_first) {
    under(account->lock, journal->tail);
  } else {
    under(journal->tail, account->lock);
  }
}
void wrapped_half_ab() {
  wrapped_half(true);
}
void wrapped_half_ba() {
  wrapped_half(false);
}

// Memory that goes and comes again as something else.
void wrapped_reuse() {
  for (int i = 0; i < 1000; ++i) {
    const auto account = std::make_unique<Account>();
    const std::unique_ptr<Journal[]> journals(new Journal[2]);
    under(account->lock, journals[0].head);
    under(journals[0].head, journals[1].tail);
  }
}

}  // namespace

const Scenario kHeapScenarios[] = {
    {"wrapped_in_order", wrapped_in_order},
    {"wrapped_half_ab", wrapped_half_ab},
    {"wrapped_half_ba", wrapped_half_ba},
    {"wrapped_reuse", wrapped_reuse},
};
const unsigned kHeapScenarioCount = sizeof kHeapScenarios / sizeof *kHeapScenarios;

}  // namespace scenarios
