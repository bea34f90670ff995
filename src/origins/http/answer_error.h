#pragma once
// What an answer, or the lack of one, means as an errno.  Pure.

#include <string>

#include "base/error.h"

namespace netfs::origins::http {

// 429, 503: the server has no time now.
constexpr bool is_busy(int status) {
  return status == 429 || status == 503;
}

// Of a status that is not what was hoped for.
Error error_of_status(int status, const std::string& url);

// Of a CURLcode that is not CURLE_OK; `os_error` is the errno that libcurl met last, 0: none;
// `detail` is its own sentence.
Error error_of_curl(int curl_code, int os_error, const std::string& url, const std::string& detail);

// What whoever mounts can do about it; empty where there is nothing to say.
std::string advice_on_status(int status, bool has_login);
std::string advice_on_transfer(const Error& error);

}  // namespace netfs::origins::http
