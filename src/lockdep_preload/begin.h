#pragma once
// Our beginning and end in the program.

namespace netfs::lockdep_preload {

// At the first event, which may be before our constructor.  A second thread that comes meanwhile
// goes unwatched until it is done.
void begin();

}  // namespace netfs::lockdep_preload
