#pragma once
// hurry: a worker that begins where another has died goes before other programs until it serves,
// for whoever uses its mounts waits meanwhile: some 5 ms of work, which beside programs that never
// pause took five times as long.
//
// Raises the calling thread to the most favourable nice value (-20), and nothing that it starts:
// threads and programs begin as ever (SCHED_RESET_ON_FORK).  Only for root, and only where nobody
// has given netfs another nice value; else nothing is done.
//
//   begin_hurry();               // in the child, before exec: the program begins so
//   ...
//   end_hurry();                 // as it was
//
// For any thread; both may be called between fork and exec.

namespace netfs::daemon {

// Whether the thread is raised now.
bool begin_hurry();
void end_hurry();

// While it lives, of the thread that makes it.
class Hurry {
 public:
  Hurry() : is_raised_(begin_hurry()) {}
  ~Hurry() {
    if (is_raised_) end_hurry();
  }
  Hurry(const Hurry&) = delete;
  Hurry& operator=(const Hurry&) = delete;

 private:
  const bool is_raised_;
};

}  // namespace netfs::daemon
