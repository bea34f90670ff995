#pragma once
// HiddenFiles: files with a hidden name (hidden_names.h) that nobody has open any more: they go
// from the origin, behind the back of whoever closed them last.
//
// Functions of a FileSystem.  Thread-safe; not under a lock.

#include <cstdint>
#include <string>

#include "vfs/file_system.h"

namespace netfs::vfs {

class FileSystem::HiddenFiles {
 public:
  // A node that is leaving (InodeTable::has_left): it does when the origin has taken its name.
  static void remove(FileSystem& of, fuse::NodeId id) { remove(of, id, Whose::kOurs, 0); }
  // Those that were leaving when the process before this one ended.  It may have done it, and what
  // has such a name now be somebody else's: that stays.
  static void remove_left(FileSystem& of);
  // One that no node stands for: a client before us has left it, or it is one name too many.
  static void remove(FileSystem& of, std::string path);

 private:
  enum class Whose : uint8_t { kOurs, kPerhapsOurs };
  static void remove(FileSystem& of, fuse::NodeId id, Whose whose, int attempts);
  static void remove_now(FileSystem& of, fuse::NodeId id, Whose whose, int attempts);
  static Result<void> remove_if_it_is(FileSystem& of, fuse::NodeId id, const std::string& path,
                                      Deadline until);
};

}  // namespace netfs::vfs
