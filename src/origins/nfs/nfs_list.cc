// NfsOrigin, listing: READDIRPLUS, which brings names with their attributes; READDIR where the
// server has no READDIRPLUS.  A name without attributes is given without: they are asked for when
// somebody wants them.

#include <cerrno>
#include <cstring>
#include <unordered_set>
#include <utility>
#include <vector>

#include "origins/nfs/nfs_origin.h"

namespace netfs::origins::nfs {

namespace {

constexpr uint32_t kNamesBytes = 64 * 1024;
constexpr uint32_t kAnswerBytes = 256 * 1024;
constexpr unsigned kRestartsMax = 20;  // of a directory that changes faster than it is read

struct Cursor {
  uint64_t cookie = 0;
  std::array<char, NFS3_COOKIEVERFSIZE> verifier{};
};

struct Named {
  std::string name;
  std::optional<NodeInfo> info;
  std::optional<Handle> handle;
};

struct Page {
  std::vector<Named> entries;
  Cursor next;
  bool end = false;
  bool bad_cookie = false;  // the directory is to be read from its start
};

// libnfs puts the entries where the last one's name ends, aligned for nothing.
template <class Entry>
Entry aligned(const Entry* at) {
  Entry entry;
  std::memcpy(static_cast<void*>(&entry), static_cast<const void*>(at), sizeof entry);
  return entry;
}

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
  Handle directory = TRY(names_.directory(path, deadline));
  Cursor cursor;
  bool looked_up_anew = false;
  bool names_only = false;
  unsigned restarts = 0;
  // A directory that changes while it is read may show a name twice.
  std::unordered_set<std::string> given;
  for (;;) {
    Result<Page> read = names_only ? read_names(caller_, directory, cursor, deadline)
                                   : read_page(caller_, directory, cursor, deadline);
    if (read.is_error(EOPNOTSUPP) && cursor.cookie == 0 && !names_only) {
      names_only = true;
      continue;
    }
    if (read.is_error(ESTALE) && cursor.cookie == 0 && !looked_up_anew && !path.empty()) {
      looked_up_anew = true;
      names_.forget(path.substr(0, path.find('/')));
      directory = TRY(names_.directory(path, deadline));
      continue;
    }
    Page page = TRY(std::move(read));
    if (page.bad_cookie) {
      if (++restarts > kRestartsMax) {
        return Error(EIO, "nfs.list", "the server forgets where it was");
      }
      cursor = {};
      continue;
    }
    // A directory that goes on for ever without a name would never reach its deadline.
    if (!page.end && page.next.cookie == cursor.cookie) return Error(EIO, "nfs.list");
    cursor = page.next;
    for (Named& entry : page.entries) {
      if (!given.insert(entry.name).second) continue;
      if (entry.handle) {
        names_.saw(path.empty() ? entry.name : path + "/" + entry.name, *entry.handle);
      }
      TRY(sink({std::move(entry.name), std::move(entry.info).value_or(NodeInfo())}));
    }
    if (page.end) return {};
    if (deadline.passed(Clock::system().now())) return Error(ETIMEDOUT, "nfs.list");
  }
}

}  // namespace netfs::origins::nfs
