#pragma once
// Opening: an open, or a change of a file by its node, under way.  Where handles do not outlive
// names it counts from before the origin is asked: whoever takes the file's name meanwhile hides it
// for this one, and it is there until this is over.

#include <memory>

#include "vfs/file_system.h"

namespace netfs::vfs {

class FileSystem::Opening {
 public:
  // Nothing while a name goes: that change has seen already who has the file open.
  static std::unique_ptr<Opening> begin(FileSystem& of, fuse::NodeId id);
  Opening(FileSystem& of, fuse::NodeId id) : of_(of), id_(id) {}
  ~Opening();
  Opening(const Opening&) = delete;
  Opening& operator=(const Opening&) = delete;

 private:
  FileSystem& of_;
  const fuse::NodeId id_;
};

}  // namespace netfs::vfs
