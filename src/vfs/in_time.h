#pragma once
// in_time(): what the origin answered to a look, as users are to have it: one that had no time for
// it until the deadline (EAGAIN) is one that did not answer in time, and both are counted.

#include <cerrno>
#include <utility>

#include "netfs/read_retry.h"
#include "vfs/options.h"

namespace netfs::vfs {

template <class T>
Result<T> in_time(Result<T> answer, Counters& counters) {
  Result<T> final = final_answer(std::move(answer));
  if (final.is_error(ETIMEDOUT)) counters.timeouts.add();
  return final;
}

}  // namespace netfs::vfs
