#pragma once
// thread_start: what a thread runs, for threads that are all started by one function of a library.
//
// std::thread of libstdc++ starts each with a function of its own and an object that has the
// callable: `struct _State { virtual ~_State(); virtual void _M_run() = 0; }`.  What runs is the
// last word of that object where it is a pointer to a function or to a member function (the tuple
// of callable and arguments is laid out from its end), else _M_run, which is another one for each
// type of callable: for each lambda.

#include <cstdint>

namespace netfs::lockdep_preload {

// Where the program's function begins; `function` itself where that is the program's, or where
// nothing better is known.
[[nodiscard]] uintptr_t thread_start(uintptr_t function, const void* argument);

}  // namespace netfs::lockdep_preload
