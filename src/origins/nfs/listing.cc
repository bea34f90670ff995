#include "origins/nfs/listing.h"

#include <cerrno>
#include <unordered_set>
#include <utility>

namespace netfs::origins::nfs {

namespace {

constexpr unsigned kRestartsMax = 20;  // of a directory that changes faster than it is read

}  // namespace

Result<void> list_pages(Names& names, const std::string& path, Deadline deadline,
                        const ReadPage& read_page, const Origin::EntrySink& sink) {
  Handle directory = TRY(names.directory(path, deadline));
  Cursor cursor;
  bool looked_up_anew = false;
  unsigned restarts = 0;
  // A directory that changes while it is read may show a name twice.
  std::unordered_set<std::string> given;
  for (;;) {
    Result<Page> read = read_page(directory, cursor);
    if (read.is_error(ESTALE) && cursor.cookie == 0 && !looked_up_anew && !path.empty()) {
      looked_up_anew = true;
      names.forget(path.substr(0, path.find('/')));
      directory = TRY(names.directory(path, deadline));
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
        names.saw(path.empty() ? entry.name : path + "/" + entry.name, *entry.handle);
      }
      TRY(sink({std::move(entry.name), std::move(entry.info).value_or(NodeInfo())}));
    }
    if (page.end) return {};
    if (deadline.passed(Clock::system().now())) return Error(ETIMEDOUT, "nfs.list");
  }
}

}  // namespace netfs::origins::nfs
