#pragma once
// Mounting by version 4: from the root that the server shows, by LOOKUP; there is no mount service.
//
// Symbolic links on the way are followed.  What fails is said in a sentence.

#include "origins/nfs/limits.h"
#include "origins/nfs/owners.h"
#include "origins/nfs/settings.h"

namespace netfs::origins::nfs {

Result<Handle> find_root(const Settings& settings, Caller& caller, Owners& owners,
                         Deadline deadline);

// What a server says of itself once, when it is mounted.
Result<ServerLimits> ask_limits_4(Caller& caller, const Handle& root, Deadline deadline);

// Whether it would let the file be read.
Result<bool> may_read(Caller& caller, const Handle& file, Deadline deadline);

}  // namespace netfs::origins::nfs
