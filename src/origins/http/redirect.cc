#include "origins/http/redirect.h"

#include <cerrno>
#include <optional>

#include "origins/http/url_parts.h"
#include "origins/percent.h"

namespace netfs::origins::http {

Result<std::string> redirect_target(const std::string& from, const std::string& to) {
  const std::optional<UrlParts> parts = UrlParts::parse(to);
  const std::string refused = from + ": the server leads on to ";
  if (!parts) return Error(EIO, "http.redirect", refused + "what is no URL");
  if (parts->scheme != "http" && parts->scheme != "https") {
    return Error(EIO, "http.redirect", refused + parts->scheme + ":, which is not followed");
  }
  if (parts->scheme == "http" && from.starts_with("https:")) {
    return Error(EIO, "http.redirect", refused + "http:, where https: was asked for");
  }
  return parts->url;
}

bool adds_a_slash(const std::string& from, const std::string& to) {
  const std::optional<UrlParts> a = UrlParts::parse(from);
  const std::optional<UrlParts> b = UrlParts::parse(to);
  if (!a || !b || !b->query.empty()) return false;
  const std::optional<std::string> path = percent_decode(a->path);
  return path && percent_decode(b->path) == *path + "/";
}

bool takes_login(const std::string& server, const std::string& url) {
  const std::optional<UrlParts> here = UrlParts::parse(url);
  const std::optional<UrlParts> home = UrlParts::parse(server + "/");
  if (!here || !home) return false;
  const bool upgraded = home->scheme == "http" && home->port == "80" && here->scheme == "https" &&
                        here->port == "443" && here->host == home->host;
  return here->same_server(*home) || upgraded;
}

}  // namespace netfs::origins::http
