#pragma once
// TakingOver: while one lives, this process has not seen yet everything that it takes over of the
// one before it: no hidden name (hidden_names.h) counts as left over meanwhile, for its file may be
// open in a mount that is still to come.
//
// Thread-safe.

namespace netfs::vfs {

class TakingOver {
 public:
  TakingOver();
  ~TakingOver();
  TakingOver(const TakingOver&) = delete;
  TakingOver& operator=(const TakingOver&) = delete;
};

}  // namespace netfs::vfs
