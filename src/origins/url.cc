#include "origins/url.h"

#include <charconv>
#include <optional>
#include <spdlog/fmt/fmt.h>
#include <utility>

#include "origins/percent.h"

namespace netfs::origins {

namespace {

Error bad(std::string_view text, std::string_view why) {
  return Error(EINVAL, "url", fmt::format("bad URL '{}': {}", text, why));
}

Result<std::string> decode(std::string_view text, std::string_view part) {
  std::optional<std::string> out = percent_decode(part);
  if (!out) return bad(text, "'%' must be followed by two hex digits");
  if (out->find('\0') != std::string::npos) {
    return bad(text, "a path cannot hold a NUL byte (%00)");
  }
  return std::move(*out);
}

bool is_scheme(std::string_view s) {
  if (s.empty() || !isalpha(static_cast<unsigned char>(s[0]))) return false;
  for (const char c : s) {
    if (!isalnum(static_cast<unsigned char>(c)) && c != '+' && c != '-' && c != '.') return false;
  }
  return true;
}

bool is_host(std::string_view host) {
  // A leading '-' would be an option to ssh; blanks and control bytes are never a name.
  if (host.empty() || host[0] == '-') return false;
  for (const char c : host) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '/' || c == '@' || c == '?' || c == 0x7f) {
      return false;
    }
  }
  return true;
}

Result<void> parse_user_host(Url& url, std::string_view part) {
  if (const size_t at = part.rfind('@'); at != std::string_view::npos) {
    url.user = TRY(decode(url.text, part.substr(0, at)));
    part.remove_prefix(at + 1);
    if (url.user.empty()) return bad(url.text, "the user before '@' is empty");
    if (url.user.find(':') != std::string::npos) {
      return bad(url.text, "a password must not stand in a URL; use a key or the agent");
    }
    if (url.user[0] == '-') return bad(url.text, "a user cannot start with '-'");
  }
  if (!part.empty() && part[0] == '[') {
    const size_t close = part.find(']');
    if (close == std::string_view::npos) return bad(url.text, "'[' without ']'");
    url.host = part.substr(1, close - 1);
    part.remove_prefix(close + 1);
    if (!part.empty() && part[0] != ':') return bad(url.text, "only ':PORT' may follow ']'");
  } else {
    const size_t colon = part.find(':');
    url.host = part.substr(0, colon);
    part.remove_prefix(colon == std::string_view::npos ? part.size() : colon);
  }
  if (!is_host(url.host)) return bad(url.text, "the host is missing or not a host name");
  if (part.empty()) return {};
  part.remove_prefix(1);
  unsigned port = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), port);
  if (error != std::errc() || end != part.data() + part.size() || port == 0 || port > 65535) {
    return bad(url.text, fmt::format("'{}' is not a port (1 to 65535)", part));
  }
  url.port = static_cast<uint16_t>(port);
  return {};
}

Result<Url> parse_short_form(Url url, std::string_view text) {
  // [user@]host:path, the host perhaps in brackets.
  const size_t bracket = text.find('[');
  const size_t from = bracket == std::string_view::npos ? 0 : text.find(']', bracket);
  const size_t colon = from == std::string_view::npos ? from : text.find(':', from);
  if (colon == std::string_view::npos) {
    return bad(text, "write SCHEME://HOST/PATH, file:///PATH or [USER@]HOST:PATH");
  }
  if (text.find('/') < colon)
    return bad(text, "there is no scheme (use file:///PATH for a folder)");
  url.scheme = "sftp";
  TRY(parse_user_host(url, text.substr(0, colon)));
  url.path = text.substr(colon + 1);
  if (url.path.find('\0') != std::string::npos) return bad(text, "a path cannot hold a NUL byte");
  return url;
}

}  // namespace

Result<Url> Url::parse(std::string_view text) {
  Url url;
  url.text = text;
  const size_t mark = text.find("://");
  if (mark == std::string_view::npos) return parse_short_form(std::move(url), text);
  const std::string_view scheme = text.substr(0, mark);
  if (!is_scheme(scheme)) return bad(text, fmt::format("'{}' is not a scheme", scheme));
  for (const char c : scheme) url.scheme += static_cast<char>(tolower(c));

  std::string_view rest = text.substr(mark + 3);
  const size_t slash = rest.find('/');
  const std::string_view authority = rest.substr(0, slash);
  std::string_view path = slash == std::string_view::npos ? "/" : rest.substr(slash);
  if (url.scheme != "file") {
    if (const size_t question = path.find('?'); question != std::string_view::npos) {
      url.query = path.substr(question + 1);
      path = path.substr(0, question);
    }
    // Others end the host there, and would ask another one than we do.
    if (authority.find_first_of("?#") != std::string_view::npos) {
      return bad(text, "a '/' comes between the host and '?' or '#'; in a user they are %3F, %23");
    }
    TRY(parse_user_host(url, authority));
  } else if (!authority.empty() && authority != "localhost") {
    return bad(text, "file: takes no host; write file:///PATH");
  }
  url.path = TRY(decode(text, path));
  return url;
}

}  // namespace netfs::origins
