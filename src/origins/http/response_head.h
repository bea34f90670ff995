#pragma once
// ResponseHead: status and fields of one answer, gathered line by line.
//
// It may be asked at any time: before the last line, or when the connection ended in the middle,
// complete() is false and nothing else may be relied on.  A new status line begins a new head
// (after 100 Continue); lines behind the end (trailers) are not taken.  Pure; of fields only those
// that are used here are kept.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "origins/http/fields.h"

namespace netfs::origins::http {

class ResponseHead {
 public:
  // With or without its line end; an empty one ends the head.
  void add_line(std::string_view line);

  // Of a final answer (not 1xx), to its last line.
  [[nodiscard]] bool complete() const { return complete_; }
  // 0 before the status line.
  [[nodiscard]] int status() const { return status_; }
  // The same field came twice with two values: whom it speaks of is anybody's guess.
  [[nodiscard]] bool contradicts_itself() const { return contradicts_itself_; }

  [[nodiscard]] const std::optional<EntityTag>& entity_tag() const { return entity_tag_; }
  [[nodiscard]] std::optional<int64_t> last_modified() const { return last_modified_; }
  [[nodiscard]] std::optional<int64_t> date() const { return date_; }
  [[nodiscard]] std::optional<uint64_t> content_length() const { return content_length_; }
  // Absent where the field is absent or nonsense.
  [[nodiscard]] std::optional<ContentRange> content_range() const { return content_range_; }
  [[nodiscard]] bool has_content_range() const { return !content_range_text_.empty(); }
  // Of Content-Encoding and Transfer-Encoding: what is neither "identity" nor "chunked".
  [[nodiscard]] const std::string& encoding() const { return encoding_; }
  [[nodiscard]] const std::string& accept_ranges() const { return accept_ranges_; }
  [[nodiscard]] const std::string& content_type() const { return content_type_; }
  [[nodiscard]] const std::string& retry_after() const { return retry_after_; }
  [[nodiscard]] bool has_location() const { return has_location_; }
  [[nodiscard]] bool is_redirect() const {
    return has_location_ &&
           (status_ == 301 || status_ == 302 || status_ == 303 || status_ == 307 || status_ == 308);
  }
  [[nodiscard]] bool is_http2() const { return is_http2_; }

 private:
  void add_status_line(std::string_view line);
  void add_field(std::string_view name, std::string_view value);

  bool complete_ = false;
  bool contradicts_itself_ = false;
  bool has_location_ = false;
  bool is_http2_ = false;
  int status_ = 0;
  std::optional<EntityTag> entity_tag_;
  std::optional<int64_t> last_modified_;
  std::optional<int64_t> date_;
  std::optional<uint64_t> content_length_;
  std::optional<ContentRange> content_range_;
  std::string content_range_text_;
  std::string encoding_;
  std::string accept_ranges_;
  std::string content_type_;
  std::string retry_after_;
};

}  // namespace netfs::origins::http
