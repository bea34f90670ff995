#pragma once
// TempDir: a folder of a test's own (0700, below TMPDIR or /tmp), removed with all below it; never
// across a mount.  Its name holds the number of this process, by which the first TempDir of the
// next program finds, and takes down, what a killed test left behind: mounts and loop devices as
// well.

#include <string>

namespace netfs::test {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  // A name in it; nothing is made.
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // A folder in it, made (0700); its path.
  [[nodiscard]] std::string make_dir(const std::string& name) const;

 private:
  std::string path_;
};

}  // namespace netfs::test
