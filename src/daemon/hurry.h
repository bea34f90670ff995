#pragma once
// hurry: a worker that begins where another has died goes before other programs until it serves,
// for whoever uses its mounts waits meanwhile: some 5 ms of work, which beside programs that never
// pause took five times as long.
//
// The whole process, what it starts included, has the most favourable nice value (-20) until
// end(): whichever of its threads comes next in what the users wait for.  Only for root, and only
// where nobody has given netfs another nice value; else nothing is done.
//
//   begin_hurry();      // in the child, before exec
//   ...
//   Hurry hurry;        // in the program, before its threads
//   ...                 // serve
//   hurry.end();
//
// begin_hurry() may be called between fork and exec; a Hurry is of one thread.

#include <sys/types.h>

namespace netfs::daemon {

// Whether what the thread is, until exec and after it, goes before others.
bool begin_hurry();

class Hurry {
 public:
  // Takes on what begin_hurry() has begun, if it has.
  Hurry();
  ~Hurry() { end(); }
  Hurry(const Hurry&) = delete;
  Hurry& operator=(const Hurry&) = delete;

  // All threads of the process, and of the programs that it has started, are as ever.  A thread
  // that is just being made may be missed: it is not if this is called again.
  void end();

 private:
  const bool is_taken_on_;
};

}  // namespace netfs::daemon
