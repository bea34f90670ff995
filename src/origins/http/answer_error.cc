#include "origins/http/answer_error.h"

#include <curl/curl.h>
#include <spdlog/fmt/fmt.h>
#include <string_view>
#include <utility>

namespace netfs::origins::http {

namespace {

// The context of errors about who the server is.
constexpr const char* kCertificate = "http.certificate";
constexpr const char* kOurCertificate = "http.our_certificate";

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

// The server's word on ours, or on there being none.  By TLS 1.3 it comes when the handshake is
// over on this side, where it ends a connection like any other trouble.
bool refuses_our_certificate(int curl_code, const std::string& detail) {
  switch (curl_code) {
    case CURLE_SSL_CLIENTCERT:
      return true;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
      break;
    default:
      return false;
  }
  // As the library that libcurl takes for TLS names alerts.
  const size_t alert = detail.find(" alert ");
  return alert != std::string::npos && (detail.find("certificate", alert) != std::string::npos ||
                                        detail.find("unknown ca", alert) != std::string::npos);
}

}  // namespace

Error error_of_status(int status, const std::string& url) {
  return Error(errno_of_status(status), "http.answer",
               fmt::format("{}: the server answers {}", url, status));
}

std::string advice_on_status(int status, bool has_login) {
  if (is_busy(status)) return "it is busy: mount again later";
  switch (status) {
    case 401:
      if (has_login) return "it does not take the login that was given";
      return "give a login: -o login=NAME,password_file=FILE, -o bearer_file=FILE or "
             "-o netrc=FILE";
    case 403:
      if (has_login) return "the login that was given has no right to this path";
      return "nobody may read this path, or not without a login (-o login=, bearer_file=, netrc=)";
    case 404:
    case 410:
      return "check the path of the URL";
    case 407:
      return "a proxy stands before it that wants a login";
    default:
      return status >= 500 ? "the server's own log says why" : "";
  }
}

std::string advice_on_transfer(const Error& error) {
  const auto says = [&](const char* words) {
    return error.detail().find(words) != std::string::npos;
  };
  if (std::string_view(error.context()) == kOurCertificate) {
    return "give a client certificate that it believes: -o cert=FILE,key=FILE";
  }
  if (std::string_view(error.context()) != kCertificate) return "";
  // libcurl's words, and those of the library that it checks with.
  if (says("expired") || says("not yet valid")) {
    return "the server needs a new certificate, unless the clock of this machine is wrong";
  }
  if (says("subject name") || says("host name")) {
    return "use the name that its certificate is for";
  }
  return "if its CA is to be believed, give it: -o ca_cert=FILE";
}

Error error_of_curl(int curl_code, int os_error, const std::string& url,
                    const std::string& detail) {
  const char* text = curl_easy_strerror(static_cast<CURLcode>(curl_code));
  std::string what = fmt::format("{}: {}", url, detail.empty() ? text : detail);
  if (refuses_our_certificate(curl_code, detail)) {
    return Error(EACCES, kOurCertificate, std::move(what));
  }
  const bool distrusted =
      curl_code == CURLE_PEER_FAILED_VERIFICATION || curl_code == CURLE_SSL_ISSUER_ERROR;
  return Error(errno_of_curl(curl_code, os_error), distrusted ? kCertificate : "http.transfer",
               std::move(what));
}

}  // namespace netfs::origins::http
