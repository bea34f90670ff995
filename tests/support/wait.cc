#include "tests/support/wait.h"

#include <poll.h>

namespace netfs::test {

bool wait_until(const std::function<bool()>& condition, Duration timeout) {
  constexpr int kAskEveryMs = 10;
  const MonoTime until = Clock::system().now() + timeout;
  while (!condition()) {
    if (Clock::system().now() >= until) return condition();
    ::poll(nullptr, 0, kAskEveryMs);
  }
  return true;
}

}  // namespace netfs::test
