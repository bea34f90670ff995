#include <algorithm>
#include <array>
#include <cstring>

#include "origins/http/listing.h"
#include "origins/http/listing_names.h"
#include "origins/http/text.h"
#include "origins/percent.h"

namespace netfs::origins::http {

namespace {

// Where `what`, in lower case but for its first character, which is no letter, stands next in
// any case; npos.
size_t find_tag(std::string_view page, std::string_view what, size_t from) {
  while (from < page.size()) {
    const void* at = std::memchr(page.data() + from, what[0], page.size() - from);
    if (at == nullptr) return std::string_view::npos;
    const auto begin = static_cast<size_t>(static_cast<const char*>(at) - page.data());
    size_t i = 0;
    while (i < what.size() && begin + i < page.size() && lower(page[begin + i]) == what[i]) ++i;
    if (i == what.size()) return begin;
    from = begin + 1;
  }
  return std::string_view::npos;
}

// Titles of the pages that servers write by themselves.
bool is_listing(std::string_view page) {
  const size_t tag = find_tag(page.substr(0, 64 * 1024), "<title>", 0);
  if (tag == std::string_view::npos) return false;
  const std::string_view title = trimmed(page.substr(tag + 7, 256));
  return title.starts_with("Index of ") || title.starts_with("Directory listing for ");
}

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// The character that "&...;" at the front stands for, appended; how long it was, 0: it is none.
size_t take_entity(std::string_view text, std::string& out) {
  struct Named {
    std::string_view text;
    char stands_for;
  };
  static constexpr std::array<Named, 5> kNamed = {
      {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}}};
  for (const Named& named : kNamed) {
    if (!text.starts_with(named.text)) continue;
    out += named.stands_for;
    return named.text.size();
  }
  if (!text.starts_with("&#")) return 0;
  const size_t end = text.substr(0, 12).find(';');
  if (end == std::string_view::npos) return 0;
  std::string_view digits = text.substr(2, end - 2);
  const bool hex = !digits.empty() && lower(digits[0]) == 'x';
  if (hex) digits.remove_prefix(1);
  if (digits.empty()) return 0;
  uint32_t code = 0;
  for (const char raw : digits) {
    const char c = lower(raw);
    const int value = c >= '0' && c <= '9'          ? c - '0'
                      : hex && c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                    : -1;
    if (value < 0) return 0;
    code = code * (hex ? 16 : 10) + static_cast<uint32_t>(value);
    if (code > 0x10FFFF) return 0;
  }
  append_utf8(out, code);
  return end + 1;
}

std::string decode_entities(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t entity = text[i] == '&' ? take_entity(text.substr(i), out) : 0;
    if (entity == 0) out += text[i];
    i += entity == 0 ? 1 : entity;
  }
  return out;
}

// The value of the tag's href, quotes off; nothing where it has none.
std::optional<std::string_view> href_of(std::string_view tag) {
  static constexpr std::string_view kHref = "href";
  const auto at = std::search(tag.begin(), tag.end(), kHref.begin(), kHref.end(),
                              [](char a, char b) { return lower(a) == b; });
  const auto href = static_cast<size_t>(at - tag.begin());
  if (at == tag.end() || href == 0 || !is_blank(tag[href - 1])) return std::nullopt;
  std::string_view rest = trimmed(tag.substr(href + 4));
  if (rest.empty() || rest[0] != '=') return std::nullopt;
  rest = trimmed(rest.substr(1));
  if (rest.empty()) return std::nullopt;
  if (rest[0] != '"' && rest[0] != '\'') return rest.substr(0, rest.find_first_of(" \t\r\n"));
  const size_t close = rest.find(rest[0], 1);
  if (close == std::string_view::npos) return std::nullopt;
  return rest.substr(1, close - 1);
}

Result<void> add_link(std::string link, ListingNames& names) {
  // What every page has: the orders of the columns, and the parent (Apache's is absolute).
  if (link.empty() || link[0] == '?' || link[0] == '#' || link == "../" || link == "..") return {};
  if (link[0] == '/') {
    if (!link.ends_with('/')) names.refuse();
    return {};
  }
  std::string_view name = link;
  const bool dotted = name.starts_with("./");  // so that a colon is none of a scheme
  if (dotted) name.remove_prefix(2);
  // An escaped '?', '#' or ':' is part of a name; a plain one is not.
  const bool leads_elsewhere = name.find_first_of("?#") != std::string_view::npos ||
                               (!dotted && name.find(':') != std::string_view::npos);
  ListedName entry;
  entry.is_directory = name.ends_with('/');
  if (entry.is_directory) name.remove_suffix(1);
  std::optional<std::string> decoded = percent_decode(name);
  if (leads_elsewhere || !decoded) {
    names.refuse();
    return {};
  }
  entry.name = std::move(*decoded);
  return names.add(std::move(entry));
}

}  // namespace

Result<ListingPage> parse_html_listing(std::string_view page) {
  if (!is_listing(page)) {
    return Error(EOPNOTSUPP, "http.list", "the server does not list this directory");
  }
  ListingNames names;
  // Each byte is in one tag at most: whatever the page, the time goes with its length.
  for (size_t at = find_tag(page, "<a", 0); at != std::string_view::npos;) {
    at += 2;
    const std::string_view rest = page.substr(at);
    if (!rest.empty() && is_blank(rest[0])) {  // no <address>
      // A quoted '>' ends it too: no server writes one.
      const size_t end = rest.find('>');
      if (end == std::string_view::npos) break;
      const std::optional<std::string_view> href = href_of(rest.substr(0, end));
      if (href) TRY(add_link(decode_entities(*href), names));
      at += end;
    }
    at = find_tag(page, "<a", at);
  }
  return std::move(names).take();
}

}  // namespace netfs::origins::http
