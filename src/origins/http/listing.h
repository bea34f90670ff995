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
//
// A multistatus: what a server that speaks WebDAV (RFC 4918) answers to PROPFIND of a directory and
// what lies in it, exact; any prefix may stand for its namespace.  A name is what an href has below
// the directory, on whatever port of the same host; the directory itself has to be among them, else
// it is the listing of something else.  Properties count where the server says 200 of them.  A
// document type is refused, and with it all entities that are not XML's own; and so are more names
// of elements and attributes that are of no use here than any server has.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "origins/http/fields.h"

namespace netfs::origins::http {

// More names than this are no directory that somebody wants to see.
inline constexpr size_t kListingEntriesMax = 1'500'000;

struct ListedName {
  std::string name;  // one component
  bool is_directory = false;
  // Of JSON and of a multistatus, of files:
  std::optional<uint64_t> size_bytes;
  std::optional<int64_t> mtime_seconds;
  std::optional<EntityTag> tag;  // of a multistatus
};

struct ListingPage {
  std::vector<ListedName> names;  // each once, in the page's order
  uint64_t refused = 0;           // names that cannot be
};

// EOPNOTSUPP: the page is no listing (the directory's own page, say); EFBIG: too many names.
Result<ListingPage> parse_html_listing(std::string_view page);
// EIO: it is not what nginx sends; EFBIG.
Result<ListingPage> parse_json_listing(std::string_view page);

// Where a multistatus comes from.
struct ListedAt {
  std::string host;  // lower case, without port
  std::string path;  // decoded, from the server's root, with its '/' at the end
};
// EOPNOTSUPP: it is no multistatus, or none of that directory; EIO: it begins as one and is none;
// EFBIG.
Result<ListingPage> parse_multistatus(std::string_view body, const ListedAt& at);

}  // namespace netfs::origins::http
