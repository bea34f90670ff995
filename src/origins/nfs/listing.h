#pragma once
// Listing: a directory page by page, whichever version of the protocol reads a page.
//
// A server that has forgotten where it was is asked from the start again, and names that were given
// are not given twice.

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "netfs/origin.h"
#include "origins/nfs/names.h"

namespace netfs::origins::nfs {

// Of a page.
inline constexpr uint32_t kNamesBytes = 64 * 1024;
inline constexpr uint32_t kAnswerBytes = 256 * 1024;

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
  Cursor next;  // of a page without entries: where it began
  bool end = false;
  bool bad_cookie = false;  // the directory is to be read from its start
};

using ReadPage = std::function<Result<Page>(const Handle& directory, const Cursor& from)>;

Result<void> list_pages(Names& names, const std::string& path, Deadline deadline,
                        const ReadPage& read_page, const Origin::EntrySink& sink);

}  // namespace netfs::origins::nfs
