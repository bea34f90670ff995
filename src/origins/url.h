#pragma once
// Url: where a remote tree is, as the user wrote it.
//
// Forms: scheme://[user@]host[:port]/path with %XX escapes and [v6] hosts; file:///path; and the
// short form of scp, [user@]host:path, which means sftp with the path taken from the login's home
// unless it starts with '/'.  A password in a URL is refused: it would stand in ps and logs.
// A value type; nothing is looked up.
//
//   Url url = TRY(Url::parse("ann@h:data"));   // sftp, user ann, host h, path "data"

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace netfs::origins {

struct Url {
  std::string text;    // as written
  std::string scheme;  // lower case
  std::string user;    // empty: not given
  std::string host;    // without brackets; empty for file:
  uint16_t port = 0;   // 0: not given
  std::string path;    // decoded; absolute but for the short form
  std::string query;   // what follows '?', as written, of schemes that have it

  // EINVAL with a sentence that names what is wrong and where.
  static Result<Url> parse(std::string_view text);
};

}  // namespace netfs::origins
