#include "origins/nfs/compound.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace netfs::origins::nfs {

namespace {

// libnfs writes nothing where these point to.
bitmap4 to_wire(const AttributeMask& mask) {
  return {.bitmap4_len = static_cast<u_int>(mask.size()),
          .bitmap4_val = const_cast<uint32_t*>(mask.data())};
}

utf8string name_to_wire(const std::string& name) {
  return {.utf8string_len = static_cast<u_int>(name.size()),
          .utf8string_val = const_cast<char*>(name.data())};
}

}  // namespace

Compound::Operation& Compound::add(nfs_opnum4 operation) {
  Operation& added = operations_.emplace_back();
  added.wire.argop = operation;
  return added;
}

Compound& Compound::put_root() {
  add(OP_PUTROOTFH);
  return *this;
}

Compound& Compound::put(const Handle& handle) {
  add(OP_PUTFH).bytes = handle;
  return *this;
}

Compound& Compound::look_up(const std::string& name) {
  add(OP_LOOKUP).bytes = name;
  return *this;
}

Compound& Compound::look_up_parent() {
  add(OP_LOOKUPP);
  return *this;
}

Compound& Compound::get_handle() {
  add(OP_GETFH);
  return *this;
}

Compound& Compound::get_attributes(const AttributeMask& mask) {
  add(OP_GETATTR).mask = mask;
  return *this;
}

Compound& Compound::access(uint32_t wanted) {
  add(OP_ACCESS).wire.nfs_argop4_u.opaccess.access = wanted;
  return *this;
}

Compound& Compound::read_link() {
  add(OP_READLINK);
  return *this;
}

Compound& Compound::read(uint64_t offset, uint32_t count) {
  READ4args& args = add(OP_READ).wire.nfs_argop4_u.opread;
  args.stateid = {};
  args.offset = offset;
  args.count = count;
  return *this;
}

Compound& Compound::read_directory(const Cursor& from, uint32_t names_bytes, uint32_t answer_bytes,
                                   const AttributeMask& mask) {
  Operation& added = add(OP_READDIR);
  added.mask = mask;
  READDIR4args& args = added.wire.nfs_argop4_u.opreaddir;
  args.cookie = from.cookie;
  std::copy(from.verifier.begin(), from.verifier.end(), args.cookieverf);
  args.dircount = names_bytes;
  args.maxcount = answer_bytes;
  return *this;
}

int Compound::send(rpc_context* rpc, rpc_cb answered, void* call) const {
  std::vector<nfs_argop4> wire;
  wire.reserve(operations_.size());
  for (const Operation& each : operations_) {
    nfs_argop4& to = wire.emplace_back(each.wire);
    auto& args = to.nfs_argop4_u;
    if (to.argop == OP_PUTFH) {
      args.opputfh.object.nfs_fh4_len = static_cast<u_int>(each.bytes.size());
      args.opputfh.object.nfs_fh4_val = const_cast<char*>(each.bytes.data());
    } else if (to.argop == OP_LOOKUP) {
      args.oplookup.objname = name_to_wire(each.bytes);
    } else if (to.argop == OP_GETATTR) {
      args.opgetattr.attr_request = to_wire(each.mask);
    } else if (to.argop == OP_READDIR) {
      args.opreaddir.attr_request = to_wire(each.mask);
    }
  }
  const std::string tag;
  COMPOUND4args args{};
  args.tag = name_to_wire(tag);
  args.argarray.argarray_len = static_cast<u_int>(wire.size());
  args.argarray.argarray_val = wire.data();
  return ::rpc_nfs4_compound_async(rpc, answered, &args, call);
}

Result<nfs_resop4> Answers::next(nfs_opnum4 operation) {
  if (at_ >= came_.resarray.resarray_len) {
    if (came_.status != NFS4_OK) return Error(errno_of(came_.status), where_);
    return Error(EIO, where_, "the server's answer is cut short");
  }
  const nfs_resop4 said = aligned(came_.resarray.resarray_val + at_++);
  if (said.resop != operation) return Error(EIO, where_, "the server answers something else");
  // Each of them begins with its status.
  nfsstat4 status = NFS4_OK;
  std::memcpy(&status, &said.nfs_resop4_u, sizeof status);
  if (status != NFS4_OK) return Error(errno_of(status), where_);
  return said;
}

Result<void> Answers::skip(std::initializer_list<nfs_opnum4> operations) {
  for (const nfs_opnum4 each : operations) TRY(next(each));
  return {};
}

}  // namespace netfs::origins::nfs
