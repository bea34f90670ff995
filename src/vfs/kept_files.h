#pragma once
// KeptFiles: files that are open and live by a descriptor of this process alone: removed, replaced,
// or made without a name.  A copy of it is kept for whoever serves the mount after us
// (descriptor_keeper.h), from before the name goes until nobody has the file open.
//
// Functions of a FileSystem, which has the rest: OpenState::kept.  Thread-safe; not under a lock.

#include <cstdint>
#include <map>

#include "vfs/file_system.h"

namespace netfs::vfs {

class FileSystem::KeptFiles {
 public:
  // Before a name of an open file goes, and with an open of one that has none: when it has returned
  // this process may die.  Beyond kKeptFilesMax, or where the keeper has no room, it is not kept.
  static void keep(FileSystem& of, fuse::NodeId id);
  // Once nobody has it open.
  static void drop(FileSystem& of, fuse::NodeId id);
  // What a process before this one has left: takes those that are of files.
  static void take(FileSystem& of, std::map<uint64_t, UniqueFd>& left);
  // Whether a file that loses its name, or has lost it by now, may be open again by that.
  static bool is_left(const Node& node) { return node.open && node.open->left; }
  // A file that has no name is open again by what was left of it, if anything was.
  static Result<void> revive(FileSystem& of, fuse::NodeId id, Deadline until);
  // The same; what holds it, if anything does.
  static Result<Ref<WritableFile>> held(FileSystem& of, fuse::NodeId id, Deadline until);

 private:
  static fuse::NodeId take(FileSystem& of, uint64_t key, UniqueFd& descriptor);
};

}  // namespace netfs::vfs
