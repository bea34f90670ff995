#pragma once
// SourceTree: the tree that a model test mounts, and the random changes made to it behind the
// mount's back.  Every version of a file gets a modification time of its own, two seconds after the
// one before, so that even an origin which knows only seconds can tell them apart.
//
// Not thread-safe.

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace netfs::test {

class SourceTree {
 public:
  // In an empty folder; the same seed makes the same tree.
  SourceTree(std::string path, std::mt19937_64& random);

  [[nodiscard]] const std::string& path() const { return path_; }

  // One random change: create, rewrite in place, replace by rename, append, truncate, unlink,
  // rename, make or remove a directory, make a link.  What it did, for the log.
  std::string change();

  // A random file or directory, relative to the root; "" where there is none.
  [[nodiscard]] std::string any_file();
  [[nodiscard]] std::string any_directory();
  [[nodiscard]] std::vector<std::string> files() const;

 private:
  std::string new_name();
  std::string random_bytes();
  void stamp(const std::string& relative);

  const std::string path_;
  std::mt19937_64& random_;
  int64_t clock_seconds_ = 1'600'000'000;
  uint64_t version_ = 0;
};

}  // namespace netfs::test
