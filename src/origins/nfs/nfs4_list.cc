// Nfs4Origin, listing: READDIR, which brings names with their attributes.  A name whose attributes
// cannot be had, or are nonsense, is given without: they are asked for when somebody wants them.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "origins/nfs/listing.h"
#include "origins/nfs/nfs4_origin.h"

namespace netfs::origins::nfs {

namespace {

constexpr AttributeMask listed_mask() {
  AttributeMask mask = kFileMask;
  // Else one of them that cannot be had is the end of the listing.
  mask[0] |= 1U << FATTR4_RDATTR_ERROR;
  return mask;
}

struct ShownEntry {
  std::string name;
  std::optional<Shown> shown;
};

// With owners in words still: they are looked up by who lists.
struct ShownPage {
  std::vector<ShownEntry> entries;
  Cursor next;
  bool end = false;
  bool bad_cookie = false;
};

Result<ShownPage> page_of(const COMPOUND4res& came, const Cursor& from) {
  ShownPage page{.next = from};
  page.bad_cookie = came.status == NFS4ERR_BAD_COOKIE || came.status == NFS4ERR_NOT_SAME;
  if (page.bad_cookie) return page;
  Answers answers(came, "nfs.list");
  TRY(answers.skip({OP_PUTFH}));
  const nfs_resop4 said = TRY(answers.next(OP_READDIR));
  const READDIR4resok& read = said.nfs_resop4_u.opreaddir.READDIR4res_u.resok4;
  std::copy_n(read.cookieverf, page.next.verifier.size(), page.next.verifier.begin());
  page.end = read.reply.eof != 0;
  for (const entry4* at = read.reply.entries; at != nullptr;) {
    const entry4 entry = aligned(at);
    at = entry.nextentry;
    page.next.cookie = entry.cookie;
    std::string name(entry.name.utf8string_val, entry.name.utf8string_len);
    if (name == "." || name == "..") continue;
    Result<Shown> shown = shown_of(entry.attrs);
    page.entries.push_back({std::move(name), shown.ok()
                                                 ? std::optional<Shown>(std::move(shown).value())
                                                 : std::nullopt});
  }
  return page;
}

}  // namespace

Result<void> Nfs4Origin::list(const std::string& path, Deadline deadline, const EntrySink& sink) {
  const auto read = [&](const Handle& directory, const Cursor& from) -> Result<Page> {
    const Compound asked =
        Compound().put(directory).read_directory(from, kNamesBytes, kAnswerBytes, listed_mask());
    ShownPage shown = TRY(caller_.ask<COMPOUND4res>(
        [asked](rpc_context* rpc, rpc_cb answered, void* call) {
          return asked.send(rpc, answered, call);
        },
        [from](const COMPOUND4res& came) { return page_of(came, from); }, deadline));
    Page page{.next = shown.next, .end = shown.end, .bad_cookie = shown.bad_cookie};
    page.entries.reserve(shown.entries.size());
    for (ShownEntry& each : shown.entries) {
      Named& named = page.entries.emplace_back();
      named.name = std::move(each.name);
      if (each.shown) named.info = owners_.info_of(*std::move(each.shown));
    }
    return page;
  };
  return list_pages(names_, path, deadline, read, sink);
}

}  // namespace netfs::origins::nfs
