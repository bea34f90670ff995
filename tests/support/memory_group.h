#pragma once
// MemoryGroup: a control group of its own, by the kernel's first form or the second, whose memory
// is limited; it goes with its last process.
//
//   MemoryGroup group;
//   NETFS_TEST_NEEDS(group.missing());
//   Process inside(group.in_front() + words);

#include <cstdint>
#include <string>
#include <vector>

namespace netfs::test {

class MemoryGroup {
 public:
  MemoryGroup();
  ~MemoryGroup();
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;

  // What is missing for it, as a test's need; empty: it is there.
  [[nodiscard]] std::string missing() const;
  // The words of a program that goes into it and becomes the program behind them.
  [[nodiscard]] std::vector<std::string> in_front() const;

  [[nodiscard]] uint64_t usage_bytes() const;
  [[nodiscard]] bool limit(uint64_t bytes) const;
  [[nodiscard]] bool lift_limit() const;
  // How many processes were killed for it.
  [[nodiscard]] uint64_t kills() const;

 private:
  [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }

  std::string path_;  // empty: there is none
  bool is_first_form_ = false;
};

}  // namespace netfs::test
