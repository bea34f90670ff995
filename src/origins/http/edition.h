#pragma once
// Edition: which version of a file an answer is about, and what it says of it.  Pure.
//
// Validators, from what a server may send:
//   strong  an entity tag without W/, but for a tag that is only the time and the size again
//           ("5f3c1a2b-400", nginx's): that promises no more than they do
//   weak    Last-Modified, in whole seconds, with the size and a weak tag, if any
//   none    neither
// Times of the server are compared with ours by its Date: its clock may be wrong.

#include <cstdint>
#include <optional>
#include <string>

#include "netfs/attributes.h"
#include "origins/http/response_head.h"

namespace netfs::origins::http {

struct Edition {
  Validator validator;
  uint64_t size_bytes = 0;
  int64_t mtime_seconds = 0;
  std::string if_range;      // a tag that may be sent back with a range; empty: none
  bool ranges_said = false;  // "Accept-Ranges: bytes"
  bool ranges_denied = false;

  [[nodiscard]] NodeInfo info() const;
};

Edition edition_of(const ResponseHead& head, uint64_t size_bytes, int64_t wall_seconds);
// The same of a listing that has exact times and sizes, and perhaps tags; `skew_seconds`: how far
// our clock is before the server's.
Edition edition_of(const std::optional<EntityTag>& tag, std::optional<int64_t> mtime_seconds,
                   uint64_t size_bytes, int64_t skew_seconds);
// How far a clock that shows `wall_seconds` is before the server's when `head` was sent; 0 where it
// does not say.
int64_t skew_of(const ResponseHead& head, int64_t wall_seconds);

// A directory: HTTP says nothing of it but that it is one.
NodeInfo directory_info();

enum class Sameness : uint8_t {
  kSame,
  kChanged,    // another version of the file, or another length where there are no versions
  kSomething,  // a page that says neither version nor the right size: an error's, most likely
};
// The same tag, where one was sent with a range, is the same version whatever else is said: an
// answer to If-Range may leave Last-Modified out.
Sameness compare(const Edition& expected, const Edition& seen);

}  // namespace netfs::origins::http
