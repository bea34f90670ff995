// A program that is correct by luck, for `lockdep run`: two threads move money between two
// accounts, one in each direction, and each locks the account that it takes from first.  Most runs
// end well.
//
//   scripts/demo --lockdep

#include <cstdio>
#include <mutex>
#include <thread>

namespace {

struct Account {
  std::mutex mutex;
  long balance = 1000;
};

Account savings;
Account current;

void save(long amount) {
  const std::lock_guard<std::mutex> from(current.mutex);
  const std::lock_guard<std::mutex> to(savings.mutex);
  current.balance -= amount;
  savings.balance += amount;
}

void spend(long amount) {
  const std::lock_guard<std::mutex> from(savings.mutex);
  const std::lock_guard<std::mutex> to(current.mutex);
  savings.balance -= amount;
  current.balance += amount;
}

}  // namespace

int main() {
  // Each does a single transfer, so that they hardly ever meet.
  std::thread saver(save, 100);
  std::thread spender(spend, 50);
  saver.join();
  spender.join();
  std::printf("savings %ld, current %ld\n", savings.balance, current.balance);
  return 0;
}
