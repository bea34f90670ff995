#pragma once
// process_states(): what every thread of this program and of all its descendants waits in, for
// whoever has to find out later why a test hung.
//
// One line a thread: process, thread, name, state as /proc tells it, and the innermost kernel
// functions, which only root is shown.  It takes no lock of this program and asks no file system
// but /proc, of that nothing that waits for a process's memory: it never hangs.

#include <string>

namespace netfs::test {

std::string process_states();

}  // namespace netfs::test
