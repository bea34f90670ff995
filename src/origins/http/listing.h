#pragma once
// Listings of directories, as web servers write them.  Pure; the page is the server's and may be
// anything.
//
// HTML: nginx's and Apache's "Index of", Python's "Directory listing for".  A name is what a link
// leads to, never what is written on it (servers cut that short).  A directory's link ends in '/'.
// What leads out of the directory or is no single name ('/' within, "..", NUL, a query, another
// server) is left out and counted, but for the links that every such page has: to the parent and to
// other orders of the columns.  HTML has sizes and times for people: they are not looked at.
//
// JSON: nginx's, [{"name":..., "type":..., "mtime":..., "size":...}, ...], exact.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace netfs::origins::http {

// More names than this are no directory that somebody wants to see.
inline constexpr size_t kListingEntriesMax = 1'500'000;

struct ListedName {
  std::string name;  // one component
  bool is_directory = false;
  // Of JSON, of files:
  std::optional<uint64_t> size_bytes;
  std::optional<int64_t> mtime_seconds;
};

struct ListingPage {
  std::vector<ListedName> names;  // each once, in the page's order
  uint64_t refused = 0;           // names that cannot be
};

// EOPNOTSUPP: the page is no listing (the directory's own page, say); EFBIG: too many names.
Result<ListingPage> parse_html_listing(std::string_view page);
// EIO: it is not what nginx sends; EFBIG.
Result<ListingPage> parse_json_listing(std::string_view page);

}  // namespace netfs::origins::http
