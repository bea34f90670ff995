// A program that is correct by luck, for `lockdep run`: two threads move money between two
// accounts, one in each direction, and each locks the account that it takes from first.  The second
// comes a while after the first, so they do not meet; nothing keeps them from it.
//
//   scripts/demo --lockdep

#include <chrono>
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
  std::thread saver(save, 100);
  std::thread spender([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    spend(50);
  });
  saver.join();
  spender.join();
  std::printf("savings %ld, current %ld\n", savings.balance, current.balance);
  return 0;
}
