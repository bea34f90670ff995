#pragma once
// What the steps of an operation that changes something hand on to each other.  Plain values.

#include <cstdint>
#include <string>

#include "fuse/wire.h"
#include "netfs/writable_file.h"

namespace netfs::vfs {

// A name in a directory.
struct Place {
  fuse::NodeId parent;
  std::string name;
  std::string path;
};

// How to open for writing.
struct OpenHow {
  uint32_t flags = 0;         // O_*
  bool kill_set_ids = false;  // if they truncate the file
};

// A handle that is open for writing.
struct LiveHandle {
  fuse::NodeId node;
  Ref<WritableFile> file;
};

// What becomes of a name that a file loses.
enum class Losing : uint8_t { kForGood, kToAnother };

// An open file whose name goes.
struct Kept {
  std::string path;     // the hidden one it has, or gets; empty: it lives on by its handle
  bool linked = false;  // one more name so far
};

// What a part of a write comes to.
enum class Shortfall : uint8_t { kIsTold, kIsAnError };

}  // namespace netfs::vfs
