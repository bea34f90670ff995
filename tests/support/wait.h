#pragma once
// wait_until(): waits for a condition that nobody signals, boundedly; asks every few milliseconds.

#include <functional>

#include "base/clock.h"

namespace netfs::test {

// Whether the condition held before the time was over.
bool wait_until(const std::function<bool()>& condition, Duration timeout);

}  // namespace netfs::test
