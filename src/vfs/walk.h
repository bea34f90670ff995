#pragma once
// Walks: which directories somebody who goes through a tree will list next.
//
// A walk is seen where the subdirectories of a directory are asked for in the order of its listing:
// at the first one faintly, at the second one for sure.  Whoever goes into the subdirectories of
// one is expected to do so in its neighbours.  What comes next is then the tree in that order, from
// where he is: beneath him, beside him, and beside what is above him.
//
// All of it under the inode table's lock; bounded by kAheadReach directories a call.

#include <deque>
#include <string>
#include <vector>

#include "vfs/ahead.h"
#include "vfs/inode_table.h"

namespace netfs::vfs {

// A directory that is to be listed ahead.
struct AheadListing {
  fuse::NodeId directory;
  std::string path;
};

// What is under way, and what was done and not asked for.
struct AheadState {
  AheadBudget budget;
  size_t under_way = 0;
  fuse::NodeId position;                                     // of whoever walked last
  MonoTime walked_at{};                                      // when he was there
  std::deque<std::pair<MonoTime, Ref<AheadClaim>>> unasked;  // oldest first
};

// Somebody asks for the listing of `directory`: whether he walks.
[[nodiscard]] bool note_asked(const Node& directory);

// The directories that come next, in the order of the walk.
class WalkOrder {
 public:
  explicit WalkOrder(Node& position);
  // Null at the end of what can be foreseen.
  Node* next(InodeTable& table) REQUIRES(table.mutex);
  // The one that next() gave last is listed: its subdirectories are next, if the walk goes there.
  void enter(Node& directory);

 private:
  struct Level {
    Node* directory;
    size_t next;  // among its listing's subdirectories
  };
  std::vector<Level> levels_;  // the innermost last
  size_t reach_ = 0;           // how many more may be foreseen
};

}  // namespace netfs::vfs
