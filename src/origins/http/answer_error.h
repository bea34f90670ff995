#pragma once
// What an answer, or the lack of one, means as an errno.  Pure.

#include <string>

#include "base/error.h"

namespace netfs::origins::http {

// Of a status that is not what was hoped for.
Error error_of_status(int status, const std::string& url);

// Of a CURLcode that is not CURLE_OK; `detail` is libcurl's own sentence.
Error error_of_curl(int curl_code, const std::string& url, const std::string& detail);

}  // namespace netfs::origins::http
