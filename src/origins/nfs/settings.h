#pragma once
// Settings: which export of which server, and as whom, from a URL and its options.
//
// nfs://HOST[:PORT]/EXPORT/PATH?version=3|4&nfsport=N&mountport=N&connections=N&uid=N&gid=N.  What
// may stand in the query may as well be an option, which wins; but for uid and gid, which as
// options say whom the mount shows as owner.  EINVAL with a sentence, EOPNOTSUPP for a version of
// the protocol that is not spoken here.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "origins/module.h"

namespace netfs::origins::nfs {

struct Settings {
  std::string host;
  std::string path;      // absolute, without a '/' at its end unless that is all of it
  unsigned version = 3;  // of the protocol: 3, or 4 for 4.0
  uint16_t nfs_port = 2049;
  uint16_t mount_port = 0;  // 0: ask the portmapper
  unsigned connections = 4;
  uint32_t uid = 0;
  uint32_t gid = 0;
  bool gid_given = false;
  std::vector<uint32_t> groups;  // none where uid or gid is given
  Duration timeout = std::chrono::seconds(30);

  static Result<Settings> parse(const OriginRequest& request);
  // Which tree it is, and whose: not what differs from one login of a user to the next (his
  // groups), nor by which way the server is asked.
  [[nodiscard]] std::string volume_key() const;
};

}  // namespace netfs::origins::nfs
