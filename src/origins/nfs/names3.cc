#include "origins/nfs/names3.h"

#include <optional>
#include <utility>

namespace netfs::origins::nfs {

Result<NodeInfo> Names3::get_attributes(const Handle& handle, Deadline deadline) {
  return caller_.ask<GETATTR3res>(
      [handle](rpc_context* rpc, rpc_cb answered, void* call) {
        GETATTR3args args{.object = to_wire(handle)};
        return ::rpc_nfs3_getattr_async(rpc, answered, &args, call);
      },
      [](const GETATTR3res& answer) -> Result<NodeInfo> {
        if (answer.status != NFS3_OK) return Error(errno_of(answer.status), "nfs.getattr");
        return info_of(answer.GETATTR3res_u.resok.obj_attributes);
      },
      deadline);
}

Result<Found> Names3::look_up(const Handle& directory, const std::string& name, Deadline deadline) {
  struct Answer {
    Handle handle;
    std::optional<NodeInfo> info;
  };
  Answer answer = TRY(caller_.ask<LOOKUP3res>(
      [directory, name](rpc_context* rpc, rpc_cb answered, void* call) {
        LOOKUP3args args{.what = to_wire(directory, name)};
        return ::rpc_nfs3_lookup_async(rpc, answered, &args, call);
      },
      [](const LOOKUP3res& came) -> Result<Answer> {
        if (came.status != NFS3_OK) return Error(errno_of(came.status), "nfs.lookup");
        const LOOKUP3resok& found = came.LOOKUP3res_u.resok;
        return Answer{handle_of(found.object), info_of(found.obj_attributes)};
      },
      deadline));
  if (!answer.info) answer.info = TRY(get_attributes(answer.handle, deadline));
  return Found{std::move(answer.handle), *std::move(answer.info)};
}

Result<std::string> Names3::read_link(const Handle& link, Deadline deadline) {
  return caller_.ask<READLINK3res>(
      [link](rpc_context* rpc, rpc_cb answered, void* call) {
        READLINK3args args{.symlink = to_wire(link)};
        return ::rpc_nfs3_readlink_async(rpc, answered, &args, call);
      },
      [](const READLINK3res& answer) -> Result<std::string> {
        if (answer.status != NFS3_OK) return Error(errno_of(answer.status), "nfs.readlink");
        return std::string(answer.READLINK3res_u.resok.data);
      },
      deadline);
}

}  // namespace netfs::origins::nfs
