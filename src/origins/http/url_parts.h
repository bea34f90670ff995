#pragma once
// UrlParts: a URL as libcurl understands it.  A value type.

#include <optional>
#include <string>

namespace netfs::origins::http {

struct UrlParts {
  std::string scheme;  // lower case
  std::string host;    // lower case
  std::string port;    // always there
  std::string path;    // escaped, begins with '/'
  std::string query;
  std::string url;  // the whole again, without user, password and fragment

  // Nothing where libcurl makes nothing of it, or the scheme is none of its.
  static std::optional<UrlParts> parse(const std::string& text);

  [[nodiscard]] bool same_server(const UrlParts& other) const {
    return scheme == other.scheme && host == other.host && port == other.port;
  }
};

}  // namespace netfs::origins::http
