#pragma once
// on_large_stack: runs what needs much stack where there may be little.  Symbols and text of a
// report take some 200 KiB; a thread of the program's may have 16, a signal's stack 8.
//
// The calling thread itself does the work, on a stack that is mapped for the call, with all signals
// blocked (a handler with an alternate stack of its own would be put over the one that we left) and
// not to be cancelled.  Where no memory is to be had it runs on the stack that there is.  May be
// called in signal handlers.  Nothing may be thrown out of it.
//
//   on_large_stack([&] { write_out(report_text(report, symbolizer)); });

namespace netfs::lockdep_preload {

void on_large_stack(void (*function)(void*), void* argument);

template <class Work>
void on_large_stack(Work work) {
  on_large_stack([](void* argument) { (*static_cast<Work*>(argument))(); }, &work);
}

}  // namespace netfs::lockdep_preload
