#pragma once
// What a server says of a WRITE, if it may say so.

#include <cerrno>
#include <cstddef>

#include "base/result.h"
#include "origins/nfs/wire.h"

namespace netfs::origins::nfs {

// Of `sent` bytes that were to be as stable as `how`; points into the answer.
inline Result<const WRITE3resok*> wrote_of(const WRITE3res& answer, stable_how how, size_t sent) {
  if (answer.status != NFS3_OK) return Error(errno_of(answer.status), "nfs.write");
  const WRITE3resok& wrote = answer.WRITE3res_u.resok;
  if (wrote.count > sent) return Error(EIO, "nfs.write", "more was written than was sent");
  if (how != UNSTABLE && wrote.committed == UNSTABLE) {
    return Error(EIO, "nfs.write", "it was not made stable");
  }
  return &wrote;
}

}  // namespace netfs::origins::nfs
