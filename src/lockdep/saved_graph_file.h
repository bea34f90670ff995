#pragma once
// Saved graphs in files: read, and written so that a reader finds the old file or the new one
// whole.
//
// A file is written beside its name, then takes it, with the owner and the rights that the old one
// had; that it is on the disk is not waited for.  Behind a symbolic link it is the file that the
// link leads to.  A device or a pipe is written to.
//
// Thread-safe; two who write one file at once leave what one of them wrote, so who adds to a file
// calls add_to_saved_graph, which locks `FILE.lock` meanwhile.  Messages begin with the file's
// name.

#include <string>

#include "base/result.h"
#include "lockdep/saved_graph.h"

namespace netfs::lockdep {

// ENOENT and what open and read say; those of decode_saved_graph; EFBIG over 1 GiB.
[[nodiscard]] Result<SavedGraph> read_saved_graph(const std::string& path);
[[nodiscard]] Result<> write_saved_graph(const std::string& path, const SavedGraph& graph);

// The file then has what it had and `graph`; one that is not there, or empty, is made.  A device
// or a pipe gets `graph` alone; ENXIO: nobody reads the pipe.  One that is
// damaged stays as it is: the error says so.
[[nodiscard]] Result<> add_to_saved_graph(const std::string& path, const SavedGraph& graph);

}  // namespace netfs::lockdep
