#pragma once
// FarLink: a slow link with the kernel's TCP at both ends, for one run: tests/tools/far_link.
//
// A server that is to be far listens at near(); who asks at far() asks it over the link.  Needs
// CAP_NET_ADMIN.  Thread-safety: one thread.

#include <string>
#include <utility>

#include "base/result.h"
#include "harness/delay_proxy.h"
#include "harness/process.h"
#include "harness/workdir.h"

namespace netfs::bench {

class FarLink {
 public:
  // `program` is the far_link of this build.
  static Result<FarLink> start(const std::string& program, const Link& link, const Workdir& work);
  [[nodiscard]] const std::string& near() const { return near_; }
  [[nodiscard]] const std::string& far() const { return far_; }

 private:
  FarLink(Process process, std::string near, std::string far)
      : process_(std::move(process)), near_(std::move(near)), far_(std::move(far)) {}
  Process process_;
  std::string near_;
  std::string far_;
};

}  // namespace netfs::bench
