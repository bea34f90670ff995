// Whatever stands behind Location, what is asked next is http: or https:, never http: where https:
// was asked for, without a login in it, and the user's own login goes to his server alone.
//
// The input is a URL that was asked and, in the next line, a Location.

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <curl/curl.h>
#include <memory>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "origins/http/redirect.h"
#include "origins/url.h"

namespace http = netfs::origins::http;
using netfs::origins::Url;

namespace {

struct Cleanup {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

// As libcurl makes a URL of Location, for CURLINFO_REDIRECT_URL.
std::string resolved(const std::string& from, const std::string& location) {
  const std::unique_ptr<CURLU, Cleanup> url(curl_url());
  constexpr unsigned kFlags =
      CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE | CURLU_ALLOW_SPACE | CURLU_PATH_AS_IS;
  if (curl_url_set(url.get(), CURLUPART_URL, from.c_str(), CURLU_PATH_AS_IS) != CURLUE_OK ||
      curl_url_set(url.get(), CURLUPART_URL, location.c_str(), kFlags) != CURLUE_OK) {
    return "";
  }
  char* text = nullptr;
  if (curl_url_get(url.get(), CURLUPART_URL, &text, 0) != CURLUE_OK) return "";
  std::string copy(text);
  curl_free(text);
  return copy;
}

bool is_secure(std::string_view url) {
  return url.starts_with("https://");
}

// By our own parser of URLs, which knows nothing of libcurl's.
void check_login(const std::string& from, const std::string& to) {
  const netfs::Result<Url> home = Url::parse(from);
  const netfs::Result<Url> here = Url::parse(to);
  if (!home.ok() || home.value().host.empty()) return;
  const Url& a = home.value();
  const bool v6 = a.host.find(':') != std::string::npos;
  std::string server = a.scheme + "://" + (v6 ? "[" + a.host + "]" : a.host);
  if (a.port != 0) server += ":" + std::to_string(a.port);
  if (!http::takes_login(server, to)) return;
  NETFS_ASSERT(!is_secure(from) || is_secure(to));
  // As libcurl writes it: http://1/ is http://0.0.0.1/, and what stands behind a '#' is no port.
  const netfs::Result<std::string> whole = http::redirect_target(from, from);
  if (!here.ok() || !whole.ok()) return;
  const netfs::Result<Url> asked = Url::parse(whole.value());
  if (!asked.ok()) return;
  const Url& b = here.value();
  const auto port = [](const Url& url) {
    if (url.port != 0) return url.port;
    return static_cast<uint16_t>(url.scheme == "https" ? 443 : 80);
  };
  const auto same_letters = [](std::string_view x, std::string_view y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                      [](char c, char d) { return std::tolower(c) == std::tolower(d); });
  };
  NETFS_ASSERT(same_letters(asked.value().host, b.host));
  NETFS_ASSERT(asked.value().scheme != b.scheme || port(asked.value()) == port(b));
}

void check(const std::string& from, const std::string& to) {
  const netfs::Result<std::string> target = http::redirect_target(from, to);
  (void)http::adds_a_slash(from, to);
  if (!target.ok()) {
    NETFS_ASSERT(target.is_error(EIO));
    return;
  }
  const std::string& url = target.value();
  NETFS_ASSERT(url.starts_with("http://") || is_secure(url));
  NETFS_ASSERT(!from.starts_with("https:") || is_secure(url));
  for (const char c : url) NETFS_ASSERT(static_cast<unsigned char>(c) > ' ' && c != 0x7f);
  NETFS_ASSERT(url.find('#') == std::string::npos);
  const size_t host = url.find("://") + 3;
  NETFS_ASSERT(url.substr(host, url.find_first_of("/?", host) - host).find('@') ==
               std::string::npos);
  // Once more it is what it is.
  const netfs::Result<std::string> again = http::redirect_target(url, url);
  NETFS_ASSERT(again.ok());
  NETFS_ASSERT(again.value() == url);
  check_login(from, url);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string from = text.substr(0, end);
  const std::string location = text.substr(std::min(end + 1, text.size()));
  if (!from.starts_with("http://") && !is_secure(from)) return 0;
  if (const std::string to = resolved(from, location); !to.empty()) check(from, to);
  check(from, location);
  return 0;
}
