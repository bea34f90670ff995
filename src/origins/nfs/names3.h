#pragma once
// Names3: names by version 3 of the protocol.

#include <string>
#include <utility>

#include "origins/nfs/call.h"
#include "origins/nfs/names.h"

namespace netfs::origins::nfs {

class Names3 final : public Names {
 public:
  Names3(Caller& caller, Handle root) : Names(std::move(root)), caller_(caller) {}

  Result<Found> look_up(const Handle& directory, const std::string& name,
                        Deadline deadline) override;
  Result<NodeInfo> get_attributes(const Handle& handle, Deadline deadline) override;
  Result<std::string> read_link(const Handle& link, Deadline deadline) override;

 private:
  Caller& caller_;
};

}  // namespace netfs::origins::nfs
