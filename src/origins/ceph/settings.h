#pragma once
// Settings: what the URL and the options of a mount say.
//
// ceph://[ID@]FSNAME/PATH?uid=N&gid=N.  What stands behind '?' may be given with -o as well, but
// uid and gid, which are the mount's own there.

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "origins/module.h"

namespace netfs::origins::ceph {

struct Settings {
  std::string url;  // as it was written
  std::string file_system;
  std::string path;  // absolute, "/" the root
  std::string id = "admin";
  std::string conf;     // empty: where Ceph's own programs look for it
  std::string keyring;  // empty: what the conf says
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;  // none where uid or gid is given
  Duration timeout = std::chrono::seconds(30);
  std::string mount_id;  // OriginRequest's
  bool follows = false;

  static Result<Settings> parse(const OriginRequest& request);
};

}  // namespace netfs::origins::ceph
