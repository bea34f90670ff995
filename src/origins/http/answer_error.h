#pragma once
// What an answer, or the lack of one, means as an errno.  Pure.

#include <string>

#include "base/error.h"

namespace netfs::origins::http {

// Of a status that is not what was hoped for.
Error error_of_status(int status, const std::string& url);

// Of a CURLcode that is not CURLE_OK; `os_error` is the errno that libcurl met last, 0: none;
// `detail` is its own sentence.
Error error_of_curl(int curl_code, int os_error, const std::string& url, const std::string& detail);

}  // namespace netfs::origins::http
