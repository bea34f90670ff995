// A multistatus is read: what a server answers to PROPFIND (RFC 4918).

#include <cerrno>
#include <expat.h>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <spdlog/fmt/fmt.h>
#include <string>
#include <type_traits>
#include <vector>

#include "origins/http/listing.h"
#include "origins/http/listing_names.h"
#include "origins/http/text.h"
#include "origins/percent.h"

namespace netfs::origins::http {

namespace {

constexpr size_t kPartBytes = 64 * 1024;
// expat keeps a tag or a comment whole until it has its end.
constexpr long kTokenBytesMax = 256 * 1024;
constexpr size_t kDepthMax = 64;
// expat keeps each name of an element, attribute or prefix for as long as it reads; of those that
// are of no use here servers have a dozen.
constexpr size_t kOtherNamesMax = 256;
constexpr size_t kOtherNameBytesMax = 1024;
// The longest path there is, each of its bytes escaped, on a host with a long name.
constexpr size_t kTextBytesMax = 16 * 1024;

// What an element is where it stands; what is of no use here, and all in it, is kOther.
enum class Part : uint8_t {
  kDocument,
  kMultistatus,
  kResponse,
  kHref,
  kStatus,
  kPropstat,
  kPropstatStatus,
  kProp,
  kResourceType,
  kCollection,
  kLength,
  kModified,
  kTag,
  kOther,
};

struct PartName {
  Part within;
  std::string_view name;  // as expat has it: namespace, blank, name
  Part part;
};

constexpr PartName kParts[] = {
    {Part::kDocument, "DAV: multistatus", Part::kMultistatus},
    {Part::kMultistatus, "DAV: response", Part::kResponse},
    {Part::kResponse, "DAV: href", Part::kHref},
    {Part::kResponse, "DAV: status", Part::kStatus},
    {Part::kResponse, "DAV: propstat", Part::kPropstat},
    {Part::kPropstat, "DAV: status", Part::kPropstatStatus},
    {Part::kPropstat, "DAV: prop", Part::kProp},
    {Part::kProp, "DAV: resourcetype", Part::kResourceType},
    {Part::kProp, "DAV: getcontentlength", Part::kLength},
    {Part::kProp, "DAV: getlastmodified", Part::kModified},
    {Part::kProp, "DAV: getetag", Part::kTag},
    {Part::kResourceType, "DAV: collection", Part::kCollection},
};

Part part_of(Part within, std::string_view name) {
  for (const PartName& known : kParts) {
    if (known.within == within && known.name == name) return known.part;
  }
  return Part::kOther;
}

// "HTTP/1.1 200 OK"; 0: it is none.
uint64_t status_code(std::string_view line) {
  const size_t blank = line.find(' ');
  if (!line.starts_with("HTTP/") || blank == std::string_view::npos) return 0;
  return parse_length(line.substr(blank + 1, 3)).value_or(0);
}

// The path of an href, decoded; nothing where it leads to another host, or is none.
std::optional<std::string> path_of(std::string_view href, const std::string& host) {
  if (!href.starts_with('/')) {
    const size_t scheme = href.find("://");
    if (scheme == std::string_view::npos) return std::nullopt;
    const std::string kind = lowered(href.substr(0, scheme));
    href.remove_prefix(scheme + 3);
    const size_t slash = href.find('/');
    if ((kind != "http" && kind != "https") || slash == std::string_view::npos) return std::nullopt;
    // A server behind a proxy may not know by which port it is asked.
    std::string_view authority = href.substr(0, slash);
    const size_t port = authority.rfind(':');
    const bool has_port =
        port != std::string_view::npos && authority.find(']', port) == std::string_view::npos;
    if (has_port) authority = authority.substr(0, port);
    if (lowered(authority) != host) return std::nullopt;
    href.remove_prefix(slash);
  } else if (href.starts_with("//")) {
    return std::nullopt;  // of another host, by RFC 3986
  }
  if (href.find_first_of("?#") != std::string_view::npos) return std::nullopt;
  return percent_decode(href);
}

class MultistatusReader {
 public:
  explicit MultistatusReader(const ListedAt& at)
      : at_(at), parser_(XML_ParserCreateNS(nullptr, ' ')) {}

  Result<ListingPage> read(std::string_view body);

 private:
  struct Free {
    void operator()(XML_Parser parser) const { XML_ParserFree(parser); }
  };

  static MultistatusReader& self(void* data) { return *static_cast<MultistatusReader*>(data); }
  static void on_start(void* data, const char* name, const char** attributes);
  static void on_prefix(void* data, const char* prefix, const char* uri);
  static void on_end(void* data, const char* name);
  static void on_text(void* data, const char* text, int length);
  static void on_doctype(void* data, const char*, const char*, const char*, int);

  void begin(Part part);
  void end(Part part);
  // False: it was one too many.
  bool take_other_name(std::string_view name);
  void end_response();
  void stop(Error error);
  [[nodiscard]] Error trouble() const;

  const ListedAt& at_;
  std::unique_ptr<std::remove_pointer_t<XML_Parser>, Free> parser_;
  std::vector<Part> open_{Part::kDocument};
  std::optional<Error> error_;
  std::set<std::string, std::less<>> other_names_;
  ListingNames names_;
  bool seen_itself_ = false;

  std::string text_;
  bool text_too_long_ = false;
  // Of the response that is read, and of its propstat.
  std::optional<std::string> href_;
  uint64_t status_ = 0;
  ListedName entry_;
  uint64_t propstat_status_ = 0;
  ListedName properties_;
};

bool MultistatusReader::take_other_name(std::string_view name) {
  if (other_names_.contains(name)) return true;
  if (other_names_.size() < kOtherNamesMax && name.size() <= kOtherNameBytesMax) {
    other_names_.emplace(name);
    return true;
  }
  stop(Error(EIO, "http.list", "the multistatus has more other elements than are taken"));
  return false;
}

void MultistatusReader::on_prefix(void* data, const char* prefix, const char*) {
  MultistatusReader& reader = self(data);
  if (!reader.error_ && prefix != nullptr) reader.take_other_name(prefix);
}

void MultistatusReader::on_start(void* data, const char* name, const char** attributes) {
  MultistatusReader& reader = self(data);
  if (reader.error_) return;
  const Part part = part_of(reader.open_.back(), name);
  if (reader.open_.size() == 1 && part != Part::kMultistatus) {
    return reader.stop(Error(EOPNOTSUPP, "http.list", "the server's answer is no multistatus"));
  }
  if (reader.open_.size() > kDepthMax) {
    return reader.stop(
        Error(EIO, "http.list", "the multistatus has elements in elements for ever"));
  }
  if (part == Part::kOther && !reader.take_other_name(name)) return;
  for (; *attributes != nullptr; attributes += 2) {
    if (!reader.take_other_name(*attributes)) return;
  }
  reader.open_.push_back(part);
  reader.begin(part);
}

void MultistatusReader::on_end(void* data, const char*) {
  MultistatusReader& reader = self(data);
  if (reader.error_) return;
  const Part part = reader.open_.back();
  reader.open_.pop_back();
  reader.end(part);
}

void MultistatusReader::on_text(void* data, const char* text, int length) {
  MultistatusReader& reader = self(data);
  switch (reader.open_.back()) {
    case Part::kHref:
    case Part::kStatus:
    case Part::kPropstatStatus:
    case Part::kLength:
    case Part::kModified:
    case Part::kTag:
      break;
    default:
      return;
  }
  const auto bytes = static_cast<size_t>(length);
  reader.text_too_long_ |= bytes > kTextBytesMax - reader.text_.size();
  if (!reader.text_too_long_) reader.text_.append(text, bytes);
}

// Entities of one's own may stand for more than any memory holds.
void MultistatusReader::on_doctype(void* data, const char*, const char*, const char*, int) {
  self(data).stop(Error(EIO, "http.list", "the multistatus has a document type, which none has"));
}

void MultistatusReader::begin(Part part) {
  text_.clear();
  text_too_long_ = false;
  if (part == Part::kResponse) {
    href_.reset();
    status_ = 0;
    entry_ = {};
  }
  if (part == Part::kPropstat) {
    propstat_status_ = 0;
    properties_ = {};
  }
}

void MultistatusReader::end(Part part) {
  const std::string_view text = text_too_long_ ? std::string_view() : trimmed(text_);
  switch (part) {
    case Part::kHref:
      // Of several it says one status, and nothing else.
      if (href_) names_.refuse();
      if (!href_) href_ = std::string(text);
      break;
    case Part::kStatus:
      status_ = status_code(text);
      break;
    case Part::kPropstatStatus:
      propstat_status_ = status_code(text);
      break;
    case Part::kLength:
      properties_.size_bytes = parse_length(text);
      break;
    case Part::kModified:
      properties_.mtime_seconds = parse_http_date(text);
      break;
    case Part::kTag:
      properties_.tag = parse_entity_tag(text);
      break;
    case Part::kCollection:
      properties_.is_directory = true;
      break;
    case Part::kPropstat:
      if (propstat_status_ != 200) break;
      entry_.is_directory |= properties_.is_directory;
      if (properties_.size_bytes) entry_.size_bytes = properties_.size_bytes;
      if (properties_.mtime_seconds) entry_.mtime_seconds = properties_.mtime_seconds;
      if (properties_.tag) entry_.tag = properties_.tag;
      break;
    case Part::kResponse:
      end_response();
      break;
    default:
      break;
  }
}

void MultistatusReader::end_response() {
  const std::optional<std::string> path = path_of(href_.value_or(""), at_.host);
  if (!path) return names_.refuse();
  const bool itself = *path == at_.path || *path + "/" == at_.path;
  if (itself) {
    seen_itself_ |= entry_.is_directory;
    return;
  }
  if (!path->starts_with(at_.path)) return names_.refuse();
  // Gone while it was listed.
  if (status_ == 404 || status_ == 410) return;
  entry_.name = path->substr(at_.path.size());
  if (entry_.name.ends_with('/')) entry_.name.pop_back();
  if (entry_.is_directory) entry_.size_bytes.reset();
  if (Result<void> added = names_.add(std::move(entry_)); !added.ok()) {
    stop(std::move(added).error());
  }
}

void MultistatusReader::stop(Error error) {
  error_ = std::move(error);
  XML_StopParser(parser_.get(), XML_FALSE);
}

Error MultistatusReader::trouble() const {
  if (error_) return *error_;
  const char* const why = XML_ErrorString(XML_GetErrorCode(parser_.get()));
  // Nothing of a multistatus came.
  if (open_.size() == 1) {
    return Error(EOPNOTSUPP, "http.list",
                 fmt::format("the server's answer is no multistatus: {}", why));
  }
  return Error(EIO, "http.list", fmt::format("the multistatus is no XML: {}", why));
}

Result<ListingPage> MultistatusReader::read(std::string_view body) {
  XML_Parser const parser = parser_.get();
  if (parser == nullptr) return Error(ENOMEM, "http.list");
  XML_SetUserData(parser, this);
  XML_SetElementHandler(parser, &on_start, &on_end);
  XML_SetNamespaceDeclHandler(parser, &on_prefix, nullptr);
  XML_SetCharacterDataHandler(parser, &on_text);
  XML_SetStartDoctypeDeclHandler(parser, &on_doctype);
  for (size_t at = 0; at < body.size() || body.empty();) {
    const std::string_view part = body.substr(at, kPartBytes);
    at += part.size();
    const bool last = at == body.size();
    const auto bytes = static_cast<int>(part.size());
    if (XML_Parse(parser, part.data(), bytes, last ? 1 : 0) != XML_STATUS_OK) return trouble();
    if (last) break;
    if (static_cast<long>(at) - XML_GetCurrentByteIndex(parser) > kTokenBytesMax) {
      return Error(EIO, "http.list", "the multistatus has a tag without an end");
    }
  }
  if (!seen_itself_) {
    return Error(EOPNOTSUPP, "http.list", "the multistatus is of something else");
  }
  return std::move(names_).take();
}

}  // namespace

Result<ListingPage> parse_multistatus(std::string_view body, const ListedAt& at) {
  return MultistatusReader(at).read(body);
}

}  // namespace netfs::origins::http
