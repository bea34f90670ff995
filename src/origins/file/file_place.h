#pragma once
// Place: a name in its directory; and a file held by a descriptor, to be worked on by calls that
// want a path.  Of the writing half of FileOrigin.

#include <string>

#include "netfs/origin_writer.h"
#include "origins/file/local_file.h"

namespace netfs::origins {

struct Place {
  UniqueFd directory;  // O_PATH
  std::string name;
};
// ENOENT and the like of the directory; EBUSY of the root itself, which has no name.
Result<Place> find_place(int root, const std::string& path);

// A file by its handle, or opened by its path (O_PATH, whatever it is).
class Held {
 public:
  static Result<Held> find(int root, const FileAt& file);
  [[nodiscard]] int fd() const { return fd_; }
  // A path that leads to the very file, a symbolic link included.
  [[nodiscard]] std::string path() const;
  // Whether fd() only names the file: opened by path.
  [[nodiscard]] bool by_path() const { return static_cast<bool>(opened_); }

 private:
  UniqueFd opened_;
  int fd_ = -1;
};

}  // namespace netfs::origins
