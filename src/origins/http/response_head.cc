#include "origins/http/response_head.h"

#include "origins/http/text.h"

namespace netfs::origins::http {

void ResponseHead::add_line(std::string_view line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) return add_status_line(line);
  if (complete_ || status_ == 0) return;
  if (line.empty()) {
    complete_ = status_ >= 200;
    return;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  add_field(lowered(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
}

void ResponseHead::add_status_line(std::string_view line) {
  *this = ResponseHead();
  is_http2_ = line.starts_with("HTTP/2");
  const size_t blank = line.find(' ');
  if (blank == std::string_view::npos) return;
  const std::optional<uint64_t> status = parse_length(line.substr(blank + 1, 3));
  if (status && *status >= 100 && *status <= 599) status_ = static_cast<int>(*status);
}

void ResponseHead::add_field(std::string_view name, std::string_view value) {
  const std::string text(value);
  if (name == "etag") entity_tag_ = parse_entity_tag(value);
  if (name == "last-modified") last_modified_ = parse_http_date(value);
  if (name == "date") date_ = parse_http_date(value);
  if (name == "accept-ranges") accept_ranges_ = lowered(value);
  if (name == "content-type") content_type_ = lowered(value);
  if (name == "retry-after") retry_after_ = text;
  if (name == "location") has_location_ = !value.empty();
  if (name == "content-length") {
    const std::optional<uint64_t> length = parse_length(value);
    contradicts_itself_ |= !length || (content_length_ && content_length_ != length);
    content_length_ = length;
  }
  if (name == "content-range") {
    contradicts_itself_ |= has_content_range() && content_range_text_ != text;
    content_range_text_ = text;
    content_range_ = parse_content_range(value);
  }
  if (name == "content-encoding" || name == "transfer-encoding") {
    const std::string kind = lowered(value);
    if (kind != "identity" && kind != "chunked" && !kind.empty()) encoding_ = kind;
  }
}

}  // namespace netfs::origins::http
