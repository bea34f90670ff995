// Whatever a web server sends as a head or a listing, decoding ends and lets through no name that
// is none, no range that lies outside of what it says.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "origins/http/edition.h"
#include "origins/http/listing.h"
#include "origins/http/response_head.h"
#include "origins/percent.h"

namespace http = netfs::origins::http;

namespace {

void check(const netfs::Result<http::ListingPage>& page) {
  if (!page.ok()) return;
  for (const http::ListedName& entry : page.value().names) {
    NETFS_ASSERT(!entry.name.empty() && entry.name.size() <= 255);
    NETFS_ASSERT(entry.name != "." && entry.name != "..");
    NETFS_ASSERT(entry.name.find('/') == std::string::npos);
    NETFS_ASSERT(entry.name.find('\0') == std::string::npos);
  }
}

void check_head(std::string_view text) {
  http::ResponseHead head;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1);
    head.add_line(text.substr(at, end - at + 1));
    at = end + 1;
  }
  if (const auto range = head.content_range(); range && range->range) {
    NETFS_ASSERT(!range->range->empty());
    NETFS_ASSERT(!range->total_bytes || range->range->end_bytes() <= *range->total_bytes);
  }
  const http::Edition edition = http::edition_of(head, 1000, 1'700'000'000);
  NETFS_ASSERT(edition.validator.bytes.size() <= 64);
  NETFS_ASSERT(http::compare(edition, edition) == http::Sameness::kSame);
  NETFS_ASSERT(edition.if_range.find_first_of("\r\n") == std::string::npos);
  (void)http::parse_retry_after(head.retry_after(), 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_head(text);
  check(http::parse_html_listing(text));
  check(http::parse_html_listing("<title>Index of /</title>" + std::string(text)));
  check(http::parse_json_listing(text));
  check(http::parse_multistatus(text, {.host = "a", .path = "/x/"}));
  check(http::parse_multistatus(
      "<m:multistatus xmlns:m=\"DAV:\"><m:response><m:href>/x/</m:href>" + std::string(text),
      {.host = "a", .path = "/x/"}));
  NETFS_ASSERT(netfs::origins::percent_decode(netfs::origins::percent_encode_path(text)) == text);
  (void)netfs::origins::percent_decode(text);
  return 0;
}
