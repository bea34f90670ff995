#pragma once
// SharedCeph: one TestCeph for all tests of a program, from the first that asks for it to the end
// of the program, and another client of it that is mounted here.
//
//   NETFS_TEST_NEEDS(TestCeph::needs());
//   ASSERT_TRUE(SharedCeph::get().ready()) << SharedCeph::get().log();
//   const std::string tree = SharedCeph::get().new_folder();

#include <string>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/support/test_ceph.h"

namespace netfs::test {

class SharedCeph {
 public:
  static SharedCeph& get();

  [[nodiscard]] bool ready() const { return !beside_.empty(); }
  [[nodiscard]] std::string log() const { return ceph_.log(); }
  [[nodiscard]] TestCeph& ceph() { return ceph_; }
  // Made by the other client: it has this path here, and in the file system.
  [[nodiscard]] std::string new_folder();
  // Words of `netfs mount`.
  [[nodiscard]] std::vector<std::string> mount_options() const;

 private:
  SharedCeph();

  TempDir temp_;
  TestCeph ceph_;
  std::string beside_;  // empty: it is not mounted
  int folders_ = 0;
};

}  // namespace netfs::test
