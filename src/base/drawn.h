#pragma once
// drawn<T>(): a number that nobody can guess and that is not 0.  Thread-safe.
//
//   const auto epoch = drawn<uint16_t>();

#include <sys/random.h>

namespace netfs {

template <class T>
T drawn() {
  T number = 0;
  while (number == 0) {
    // Cannot fail for so few bytes, once the machine has started.
    if (::getrandom(&number, sizeof number, 0) != sizeof number) number = 1;
  }
  return number;
}

}  // namespace netfs
