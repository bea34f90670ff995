#pragma once
// Workdir: the one directory a benchmark writes to, removed with all it holds when the run ends.
//
// Unmount what lies under it first: the removal stays on one file system and does not follow links.
// Thread-safety: one thread.
//
//   Workdir work = TRY(Workdir::create("/var/tmp"));
//   std::string cache = work.path("cache");

#include <string>

#include "base/result.h"

namespace netfs::bench {

class Workdir {
 public:
  // A new directory netfs-bench.XXXXXX under `parent`.
  static Result<Workdir> create(const std::string& parent);
  Workdir(Workdir&& other) noexcept : root_(std::exchange(other.root_, {})) {}
  Workdir& operator=(Workdir&&) = delete;
  ~Workdir();

  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] std::string path(const std::string& name) const { return root_ + "/" + name; }
  // path(name), made if it is absent.
  Result<std::string> directory(const std::string& name) const;

 private:
  explicit Workdir(std::string root) : root_(std::move(root)) {}
  std::string root_;
};

// Removes a tree, staying on its file system; what cannot be removed is left without a word.
void remove_tree(const std::string& path);

// SIGINT and SIGTERM end the run after the current sample instead of the process, so that what was
// mounted is unmounted.
void catch_signals();
[[nodiscard]] bool interrupted();

}  // namespace netfs::bench
