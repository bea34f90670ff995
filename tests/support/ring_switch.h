#pragma once
// RingSwitch: whether the fuse module offers io_uring to what is mounted from now on; at the end it
// is as it was before.  One at a time on a machine (ctest: RESOURCE_LOCK fuse_ring); needs root.
//
//   NETFS_TEST_NEEDS(RingSwitch::possible());
//   const RingSwitch allowed("Y");

#include <string>

namespace netfs::test {

class RingSwitch {
 public:
  // "" where this kernel has the switch, else what is missing.
  static std::string possible();

  explicit RingSwitch(const std::string& setting);
  ~RingSwitch();
  RingSwitch(const RingSwitch&) = delete;
  RingSwitch& operator=(const RingSwitch&) = delete;

 private:
  std::string before_;
};

}  // namespace netfs::test
