#pragma once
// Fields of an answer's head, decoded.  Pure; the text is the server's and may be anything.
//
// Each takes the field's value without its name and line end.  What is not exactly of the form
// that the standard (RFC 9110) gives is refused: nothing is guessed from half a field.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/byte_range.h"
#include "base/clock.h"

namespace netfs::origins::http {

// "bytes 0-499/1234"; "bytes 0-499/*"; "bytes */1234" of a range that lies beyond the end.
struct ContentRange {
  std::optional<ByteRange> range;       // never empty, ends at INT64_MAX at most
  std::optional<uint64_t> total_bytes;  // never before the end of `range`
};
std::optional<ContentRange> parse_content_range(std::string_view text);

// Decimal digits and nothing else; INT64_MAX at most.
std::optional<uint64_t> parse_length(std::string_view text);

// "Sun, 06 Nov 1994 08:49:37 GMT", the one form that servers send; seconds since 1970.
std::optional<int64_t> parse_http_date(std::string_view text);

// Seconds, or a date, which is compared with `now_seconds`; an hour at most.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view text, int64_t now_seconds);

// "\"x\"" or "W/\"x\"".
struct EntityTag {
  std::string text;  // as sent, with its quotes and W/
  bool weak = false;

  // What lies between the quotes.
  [[nodiscard]] std::string_view opaque() const {
    const size_t front = weak ? 3 : 1;
    return std::string_view(text).substr(front, text.size() - front - 1);
  }
};
std::optional<EntityTag> parse_entity_tag(std::string_view text);

}  // namespace netfs::origins::http
