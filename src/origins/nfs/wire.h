#pragma once
// What version 3 says, in netfs's words: errnos, attributes, validators; and back.
//
// Pure functions.  A Handle is what the server calls a file: opaque bytes.

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "netfs/attributes.h"
#include "netfs/origin_writer.h"
#include "origins/nfs/libnfs_api.h"

namespace netfs::origins::nfs {

using Handle = std::string;
// Of the server's life: another one after a restart, when what was not stable may be gone.
using Verifier = std::array<char, NFS3_WRITEVERFSIZE>;

// The errno of a status; EAGAIN for "later" (JUKEBOX).  0 for NFS3_OK.
int errno_of(nfsstat3 status);
int errno_of(mountstat3 status);
// Of a request that has no answer, from what libnfs says of it: ENOTCONN when the connection was
// lost, and then it may have been carried out; else the server refused it, and it was not, EAGAIN
// for want of something (memory).
int errno_of_refusal(std::string_view says);

// As it lies in memory here: what is made of it never leaves this machine.
template <class Value>
void append(std::string& to, const Value& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

NodeInfo info_of(const fattr3& attributes);
std::optional<NodeInfo> info_of(const post_op_attr& attributes);
// The version before a change: what it says has no fileid in it.
std::optional<Validator> validator_of(const pre_op_attr& before, uint64_t fileid);
Seen seen_of(const wcc_data& wcc, uint64_t fileid);
// The fileid that an identity holds.
uint64_t fileid_of(const NodeInfo& info);

Verifier verifier_of(const char* bytes);

// Points into `handle`, which has to outlive it; libnfs writes nothing there.
nfs_fh3 to_wire(const Handle& handle);
diropargs3 to_wire(const Handle& directory, const std::string& name);
Handle handle_of(const nfs_fh3& handle);
// Of a change, without guard.
sattr3 to_wire(const AttributeChange& change);

}  // namespace netfs::origins::nfs
