#pragma once
// What a symbolic link says; EINVAL of anything else.

#include <string>

#include "origins/nfs/call.h"

namespace netfs::origins::nfs {

inline Result<std::string> read_link(Caller& caller, const Handle& link, Deadline deadline) {
  return caller.ask<READLINK3res>(
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
