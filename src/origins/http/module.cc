#include "origins/http/http_origin.h"

namespace {

constexpr netfs::origins::OriginTraits kTraits = {
    .on = "a web server",
    .versions = "its ETag, else weak",
    .identity = "the path",
    .changes = "none",
    .locks = "here only",
};

const char* const kOptions[] = {
    "login",         "name to log in with (or USER@ in the URL), by Basic; wants a password",
    "password_file", "file whose first line is the password",
    "password_env",  "environment variable that holds the password",
    "bearer_file",   "file whose first line is a bearer token",
    "bearer_env",    "environment variable that holds a bearer token",
    "netrc",         "log in with what this netrc file says; yes: ~/.netrc",
    "cert",          "client certificate, PEM",
    "key",           "its private key, PEM (else in the certificate's file)",
    "ca_cert",       "file of the only CAs to believe (else the system's)",
    "user_agent",    "what netfs calls itself to the server",
    "connections",   "how many connections, 1 to 64 (default 18)",
    "webdav",        "no: directories are listed by their pages, also where WebDAV would do",
    nullptr,
};

}  // namespace

NETFS_ORIGIN_MODULE("http", "0.1.0", kTraits, kOptions, &netfs::origins::http::HttpOrigin::open)
