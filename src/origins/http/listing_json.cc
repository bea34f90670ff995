#include <optional>

#include "origins/http/fields.h"
#include "origins/http/listing.h"
#include "origins/http/listing_names.h"

namespace netfs::origins::http {

namespace {

// Of JSON as much as nginx writes: objects of strings and numbers.  Not a library's reader, for
// names are bytes here and nginx sends them as they are, UTF-8 or not.
class JsonCursor {
 public:
  explicit JsonCursor(std::string_view text) : text_(text) {}

  bool take(char c) {
    skip_blanks();
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  std::optional<std::string> string() {
    if (!take('"')) return std::nullopt;
    std::string out;
    while (!text_.empty()) {
      const char c = text_[0];
      text_.remove_prefix(1);
      if (c == '"') return out;
      if (c != '\\') {
        out += c;
      } else if (!escape(out)) {
        return std::nullopt;
      }
    }
    return std::nullopt;
  }
  // Up to what ends a number, true, false or null.
  std::string_view word() {
    skip_blanks();
    const std::string_view word = text_.substr(0, text_.find_first_of(",]}: \t\r\n\"[{"));
    text_.remove_prefix(word.size());
    return word;
  }
  [[nodiscard]] bool at_end() {
    skip_blanks();
    return text_.empty();
  }

 private:
  void skip_blanks() {
    const size_t next = text_.find_first_not_of(" \t\r\n");
    text_.remove_prefix(next == std::string_view::npos ? text_.size() : next);
  }
  bool escape(std::string& out) {
    if (text_.empty()) return false;
    const char c = text_[0];
    text_.remove_prefix(1);
    static constexpr std::string_view kNames = "\"\\/bfnrt";
    static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (const size_t known = kNames.find(c); known != std::string_view::npos) {
      out += kMeanings[known];
      return true;
    }
    if (c != 'u' || text_.size() < 4) return false;
    unsigned code = 0;
    for (const char digit : text_.substr(0, 4)) {
      const int value = digit >= '0' && digit <= '9'   ? digit - '0'
                        : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                        : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                                       : -1;
      if (value < 0) return false;
      code = code * 16 + static_cast<unsigned>(value);
    }
    text_.remove_prefix(4);
    // nginx escapes control characters so, and nothing else.
    if (code >= 0x80) return false;
    out += static_cast<char>(code);
    return true;
  }

  std::string_view text_;
};

// One object; false: it is no such object.
bool take_entry(JsonCursor& json, ListedName& entry, std::string& type) {
  if (!json.take('{')) return false;
  if (json.take('}')) return true;
  do {
    const std::optional<std::string> key = json.string();
    if (!key || !json.take(':')) return false;
    if (*key == "size") {
      entry.size_bytes = parse_length(json.word());
      if (!entry.size_bytes) return false;
      continue;
    }
    std::optional<std::string> value = json.string();
    if (!value && json.word().empty()) return false;
    if (!value) continue;
    if (*key == "name") entry.name = std::move(*value);
    if (*key == "type") type = *value;
    if (*key == "mtime") entry.mtime_seconds = parse_http_date(*value);
  } while (json.take(','));
  return json.take('}');
}

}  // namespace

Result<ListingPage> parse_json_listing(std::string_view page) {
  const Error nonsense(EIO, "http.list", "the listing is no JSON as nginx writes it");
  JsonCursor json(page);
  ListingNames names;
  if (!json.take('[')) return nonsense;
  if (!json.take(']')) {
    do {
      ListedName entry;
      std::string type;
      if (!take_entry(json, entry, type)) return nonsense;
      entry.is_directory = type == "directory";
      if (type != "file") entry.size_bytes = std::nullopt;
      TRY(names.add(std::move(entry)));
    } while (json.take(','));
    if (!json.take(']')) return nonsense;
  }
  if (!json.at_end()) return nonsense;
  return std::move(names).take();
}

}  // namespace netfs::origins::http
