#pragma once
// Where a server leads on to, and what is taken along there.  Pure.

#include <string>

#include "base/result.h"

namespace netfs::origins::http {

// The URL to ask next, without login and fragment, where `from` was answered by a redirect that
// leads to `to` (whole, as libcurl makes it of Location).  EIO when it leads where nobody may: to
// what is no http: or https:, or from https: to http:.
Result<std::string> redirect_target(const std::string& from, const std::string& to);

// Whether `to` is the same path with a '/' at its end, whoever serves it: a server behind a proxy
// may not know its own name.
bool adds_a_slash(const std::string& from, const std::string& to);

// Whether the login of `server` ("http://host:port") may be shown to whoever answers `url`: to that
// server, or to its https: side, and to nobody else.
bool takes_login(const std::string& server, const std::string& url);

}  // namespace netfs::origins::http
