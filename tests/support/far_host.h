#pragma once
// FarHost: another host of our own: a network name space, and a pair of interfaces that leads
// there. A server that is started in it can be gone without a word.  Needs root and ip(8).
//
//   FarHost far;
//   NETFS_TEST_NEEDS(far.works() ? "" : "network name spaces");

#include <string>

#include "tests/support/outside.h"

namespace netfs::test {

class FarHost {
 public:
  // In a subnet below 10.213.0.0 that is this process's own, as long as another has not its pid.
  FarHost();
  ~FarHost();
  FarHost(const FarHost&) = delete;
  FarHost& operator=(const FarHost&) = delete;

  // What it is told to do is done by that.
  void ask(Outside& outside) { outside_ = &outside; }

  [[nodiscard]] bool works() const { return works_; }
  [[nodiscard]] const std::string& name_space() const { return name_; }
  [[nodiscard]] const std::string& address() const { return far_address_; }

  // Nothing comes back from there any more, and nobody says so; or again.
  bool vanish();
  bool come_back();
  // Its interface is taken down, as a cable is drawn; or up again.
  bool unplug();
  bool plug_in();
  // From now on its kernel soon forgets connections that have no process any more.
  bool forget_orphans();
  // Whether its kernel knows of no TCP connection.
  [[nodiscard]] bool has_no_connection() const;

 private:
  [[nodiscard]] bool succeeds(const std::string& command) const;

  const std::string name_;
  const std::string near_;
  const std::string near_address_;
  const std::string far_address_;
  Outside* outside_ = nullptr;
  bool works_ = false;
};

}  // namespace netfs::test
