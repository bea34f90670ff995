// NfsOrigin, listing: READDIRPLUS, which brings names with their attributes; READDIR where the
// server has no READDIRPLUS.  A name without attributes is given without: they are asked for when
// somebody wants them.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "origins/nfs/listing.h"
#include "origins/nfs/nfs_origin.h"

namespace netfs::origins::nfs {

namespace {

// One without entries goes on where it began.
Page begin_page(const Cursor& from) {
  Page page;
  page.next = from;
  return page;
}

Result<Page> page_of(const READDIRPLUS3res& answer, const Cursor& from) {
  Page page = begin_page(from);
  if (answer.status == NFS3ERR_BAD_COOKIE) {
    page.bad_cookie = true;
    return page;
  }
  if (answer.status != NFS3_OK) return Error(errno_of(answer.status), "nfs.list");
  const READDIRPLUS3resok& read = answer.READDIRPLUS3res_u.resok;
  std::copy_n(read.cookieverf, page.next.verifier.size(), page.next.verifier.begin());
  page.end = read.reply.eof != 0;
  for (const entryplus3* at = read.reply.entries; at != nullptr;) {
    const entryplus3 entry = aligned(at);
    at = entry.nextentry;
    page.next.cookie = entry.cookie;
    const std::string name = entry.name;
    if (name == "." || name == "..") continue;
    Named named{name, info_of(entry.name_attributes), std::nullopt};
    if (entry.name_handle.handle_follows != 0) {
      named.handle = handle_of(entry.name_handle.post_op_fh3_u.handle);
    }
    page.entries.push_back(std::move(named));
  }
  return page;
}

Result<Page> page_of(const READDIR3res& answer, const Cursor& from) {
  Page page = begin_page(from);
  if (answer.status == NFS3ERR_BAD_COOKIE) {
    page.bad_cookie = true;
    return page;
  }
  if (answer.status != NFS3_OK) return Error(errno_of(answer.status), "nfs.list");
  const READDIR3resok& read = answer.READDIR3res_u.resok;
  std::copy_n(read.cookieverf, page.next.verifier.size(), page.next.verifier.begin());
  page.end = read.reply.eof != 0;
  for (const entry3* at = read.reply.entries; at != nullptr;) {
    const entry3 entry = aligned(at);
    at = entry.nextentry;
    page.next.cookie = entry.cookie;
    const std::string name = entry.name;
    if (name != "." && name != "..") page.entries.push_back({name, std::nullopt, std::nullopt});
  }
  return page;
}

Result<Page> read_names(Caller& caller, const Handle& directory, const Cursor& from,
                        Deadline deadline) {
  return caller.ask<READDIR3res>(
      [directory, from](rpc_context* rpc, rpc_cb answered, void* call) {
        READDIR3args args{};
        args.dir = to_wire(directory);
        args.cookie = from.cookie;
        std::copy(from.verifier.begin(), from.verifier.end(), args.cookieverf);
        args.count = kNamesBytes;
        return ::rpc_nfs3_readdir_async(rpc, answered, &args, call);
      },
      [from](const READDIR3res& answer) { return page_of(answer, from); }, deadline);
}

Result<Page> read_page(Caller& caller, const Handle& directory, const Cursor& from,
                       Deadline deadline) {
  return caller.ask<READDIRPLUS3res>(
      [directory, from](rpc_context* rpc, rpc_cb answered, void* call) {
        READDIRPLUS3args args{};
        args.dir = to_wire(directory);
        args.cookie = from.cookie;
        std::copy(from.verifier.begin(), from.verifier.end(), args.cookieverf);
        args.dircount = kNamesBytes;
        args.maxcount = kAnswerBytes;
        return ::rpc_nfs3_readdirplus_async(rpc, answered, &args, call);
      },
      [from](const READDIRPLUS3res& answer) { return page_of(answer, from); }, deadline);
}

}  // namespace

Result<void> NfsOrigin::list(const std::string& path, Deadline deadline, const EntrySink& sink) {
  bool names_only = false;
  const auto read = [&](const Handle& directory, const Cursor& from) -> Result<Page> {
    if (!names_only) {
      Result<Page> page = read_page(caller_, directory, from, deadline);
      if (!page.is_error(EOPNOTSUPP) || from.cookie != 0) return page;
      names_only = true;
    }
    return read_names(caller_, directory, from, deadline);
  };
  return list_pages(names_, path, deadline, read, sink);
}

}  // namespace netfs::origins::nfs
