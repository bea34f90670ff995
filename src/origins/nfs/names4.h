#pragma once
// Names4: names by version 4.0 of the protocol.
//
// A LOOKUP that leads into another export below comes out at that export's root, with its own fsid,
// and so does a listing: no more is to be done for it.

#include <string>
#include <utility>

#include "origins/nfs/call.h"
#include "origins/nfs/compound.h"
#include "origins/nfs/names.h"
#include "origins/nfs/owners.h"

namespace netfs::origins::nfs {

class Names4 final : public Names {
 public:
  Names4(Caller& caller, Owners& owners, Handle root)
      : Names(std::move(root)), caller_(caller), owners_(owners) {}

  // ".." is the directory above, also above an export.
  Result<Found> look_up(const Handle& directory, const std::string& name,
                        Deadline deadline) override;
  Result<NodeInfo> get_attributes(const Handle& handle, Deadline deadline) override;
  Result<std::string> read_link(const Handle& link, Deadline deadline) override;

 private:
  Caller& caller_;
  Owners& owners_;
};

Handle handle_of(const nfs_fh4& handle);

}  // namespace netfs::origins::nfs
