#pragma once
// SavedNode: what the process that serves a mount on has to know of a node that the kernel knows,
// besides its record (node.h).  Pure.
//
// Bytes of one machine: both processes run on it.  Errors of decode: EPROTO.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "netfs/attributes.h"

namespace netfs::vfs {

struct SavedNode {
  enum Flag : uint8_t {
    kListed = 1,        // its directory's names hold it: the current version
    kHidden = 2,        // removed, and kept at the origin by this name
    kNumberMoved = 4,   // its number is of a path that it does not have any more
    kHidingByLink = 8,  // what it is being hidden by is one more name of it
    kUnknown = 16,      // of what stood at a name: nobody knows
    kLeaving = 32,      // nobody has it open, and the hidden name that it has is to go
  };
  uint64_t node_id = 0;
  uint64_t parent_id = 0;
  uint64_t ino = 0;
  uint8_t flags = 0;
  Attributes attributes;  // without atime and what is allocated
  Validator validator;
  std::string identity;
  std::string name;
  std::string hiding;  // the hidden name that it is being given
};

// How far a directory's handle was read: the names before `offset`, the last one first, for some of
// them may go before it is read on.
struct SavedPosition {
  static constexpr size_t kNamesMax = 6;
  uint64_t offset = 0;
  std::vector<std::string> names;
};

// At most BytesArena::kBytesMax, for what an origin may say (limits.h).
std::string encode(const SavedNode& node);
Result<SavedNode> decode_saved_node(std::string_view bytes);
std::string encode(const SavedPosition& position);
Result<SavedPosition> decode_saved_position(std::string_view bytes);

}  // namespace netfs::vfs
