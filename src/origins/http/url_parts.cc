#include "origins/http/url_parts.h"

#include <algorithm>
#include <curl/curl.h>
#include <memory>
#include <string_view>

#include "origins/http/text.h"

namespace netfs::origins::http {

namespace {

struct Cleanup {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

std::optional<std::string> part(CURLU* url, CURLUPart what, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, what, &text, flags) != CURLUE_OK) return std::nullopt;
  std::string copy(text);
  curl_free(text);
  return copy;
}

// libcurl decodes %XX in hosts, and not all of what comes of that ends its reading of the URL.
bool is_plain_host(std::string_view host) {
  return !host.empty() && std::none_of(host.begin(), host.end(), [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '/' || c == '?' || c == '#' ||
           c == '@' || c == '\\';
  });
}

}  // namespace

std::optional<UrlParts> UrlParts::parse(const std::string& text) {
  const std::unique_ptr<CURLU, Cleanup> url(curl_url());
  if (!url) return std::nullopt;
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_PATH_AS_IS) != CURLUE_OK) {
    return std::nullopt;
  }
  for (const CURLUPart unwanted :
       {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS, CURLUPART_FRAGMENT}) {
    if (curl_url_set(url.get(), unwanted, nullptr, 0) != CURLUE_OK) return std::nullopt;
  }
  const std::optional<std::string> scheme = part(url.get(), CURLUPART_SCHEME);
  const std::optional<std::string> host = part(url.get(), CURLUPART_HOST);
  const std::optional<std::string> port = part(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  const std::optional<std::string> path = part(url.get(), CURLUPART_PATH);
  const std::optional<std::string> whole = part(url.get(), CURLUPART_URL);
  if (!scheme || !host || !port || !path || !whole || !is_plain_host(*host)) return std::nullopt;
  return UrlParts{.scheme = lowered(*scheme),
                  .host = lowered(*host),
                  .port = *port,
                  .path = *path,
                  .query = part(url.get(), CURLUPART_QUERY).value_or(""),
                  .url = *whole};
}

}  // namespace netfs::origins::http
