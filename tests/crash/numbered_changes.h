#pragma once
// NumberedChanges: one writer's random changes of a tree, each of which is known before it is made,
// so that whoever looks at the tree later can say at which of them it stands.
//
//   NumberedChanges changes(seed, [&] { return mount.status_number("handles") == 0; });
//   while (changes.make(mount.path())) {}
//   EXPECT_TRUE(changes.is_one_of_them(NumberedChanges::shown(other.path())));

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace netfs::test {

class NumberedChanges {
 public:
  // A path, and what it is: type, permissions, bytes or target.
  using Tree = std::map<std::string, std::string>;

  explicit NumberedChanges(uint64_t seed) : random_(seed) {}

  // One more change, of one call or a few.  False: a call failed, as errno says.
  bool make(const std::string& root);

  // What there may be after all that was called for: from what is durable on, each step.  A write
  // is as many as the kernel makes of it: it is handed on in parts that end with a page.
  [[nodiscard]] bool is_one_of_them(const Tree& tree) const;
  // The one that is the nearest to it, and how it differs.
  [[nodiscard]] std::string difference(const Tree& tree) const;
  [[nodiscard]] size_t steps() const { return history_.size() - 1; }
  [[nodiscard]] size_t durable() const { return durable_; }
  // What the last call that failed was.
  [[nodiscard]] const std::string& failed() const { return failed_; }

  static Tree shown(const std::string& root);

 private:
  bool write_new(const std::string& path);
  bool write_on(const std::string& path);
  bool replace(const std::string& path);
  bool move(const std::string& path);
  bool remove(const std::string& path);
  bool change_attributes(const std::string& path);
  bool sync(const std::string& path);
  bool put(int fd, const std::string& path, size_t offset, const std::string& bytes);
  bool make_file(const std::string& path, int flags, int& fd);

  // Bytes are written to a file.
  struct Written {
    std::string path;
    size_t offset = 0;
    size_t length = 0;
  };
  // Whether it is what step `i` made, or has the first pages of what the next one writes.
  [[nodiscard]] bool is_at(const Tree& tree, size_t i) const;

  // A call is about to be made that leads to this; and it was made.
  void may_be(Tree next);
  bool is_done(int64_t result, const std::string& call);
  void is_durable() { durable_ = history_.size() - 1; }

  [[nodiscard]] std::string any(char type);
  [[nodiscard]] std::string new_name();
  [[nodiscard]] std::string some_bytes();
  [[nodiscard]] const Tree& now() const { return history_.back(); }

  std::mt19937_64 random_;
  std::string root_;
  uint64_t number_ = 0;
  std::vector<Tree> history_ = {{}};
  std::map<size_t, Written> written_;  // by step
  size_t durable_ = 0;
  std::string failed_;
};

}  // namespace netfs::test
