#pragma once
// arena(): where all that we keep lies; and what becomes of locks whose memory goes.

#include <cstdint>

#include "lockdep/arena.h"

namespace netfs::lockdep_preload {

lockdep::Arena& arena();

// [from, to) is given up: locks in it are no more, and one that this thread holds is reported.
void memory_goes(uintptr_t from, uintptr_t to, uintptr_t ip);

}  // namespace netfs::lockdep_preload
