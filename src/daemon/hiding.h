#pragma once
// hiding_of(): whose names hidden files get: which client this is, the same at every start, and
// which process.  Thread-safe.
//
//   view.hiding = hiding_of(cache_dir, origin.volume_key());

#include <string>

#include "vfs/options.h"

namespace netfs::daemon {

// A client is the owner of one cache directory, on one volume: never two processes at a time.  Its
// number is drawn once and kept in the directory, as "client".  Without a cache directory nobody
// can say that, so no names are taken for left over.
vfs::Hiding hiding_of(const std::string& cache_dir, const std::string& volume_key);

}  // namespace netfs::daemon
