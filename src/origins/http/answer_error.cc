#include "origins/http/answer_error.h"

#include <curl/curl.h>
#include <spdlog/fmt/fmt.h>

namespace netfs::origins::http {

namespace {

int errno_of_status(int status) {
  switch (status) {
    case 401:
    case 403:
    case 407:
    case 451:
      return EACCES;
    case 404:
    case 410:
      return ENOENT;
    case 414:
      return ENAMETOOLONG;
    case 408:
    case 429:
    case 503:
      return EAGAIN;
    case 504:
      return ETIMEDOUT;
    default:
      return EIO;
  }
}

int errno_of_curl(int curl_code, int os_error) {
  switch (curl_code) {
    case CURLE_OPERATION_TIMEDOUT:
      return ETIMEDOUT;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
      return ENOTCONN;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return ECONNRESET;
    // Whom we talk to is not who it should be: nothing that another attempt would change.
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_LOGIN_DENIED:
      return EACCES;
    case CURLE_SSL_CONNECT_ERROR:
      return os_error == ECONNRESET ? ECONNRESET : EPROTO;
    case CURLE_OUT_OF_MEMORY:
      return ENOMEM;
    default:
      return EIO;
  }
}

}  // namespace

Error error_of_status(int status, const std::string& url) {
  return Error(errno_of_status(status), "http.answer",
               fmt::format("{}: the server answers {}", url, status));
}

Error error_of_curl(int curl_code, int os_error, const std::string& url,
                    const std::string& detail) {
  const char* text = curl_easy_strerror(static_cast<CURLcode>(curl_code));
  return Error(errno_of_curl(curl_code, os_error), "http.transfer",
               fmt::format("{}: {}", url, detail.empty() ? text : detail));
}

}  // namespace netfs::origins::http
