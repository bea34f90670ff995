#include "tests/support/temp_dir.h"

#include <cstdlib>
#include <string>
#include <sys/stat.h>
#include <vector>

#include "base/assert.h"
#include "tests/support/process.h"

namespace netfs::test {

TempDir::TempDir() {
  const char* base = std::getenv("TMPDIR");
  path_ = std::string(base != nullptr && *base != '\0' ? base : "/tmp") + "/netfs-test.XXXXXX";
  NETFS_ASSERT(::mkdtemp(path_.data()) != nullptr);
}

TempDir::~TempDir() {
  // rm knows the boundary of a file system; a mount that a failed test left must not be emptied.
  run({"rm", "-rf", "--one-file-system", path_}, std::chrono::seconds(60));
}

std::string TempDir::make_dir(const std::string& name) const {
  std::string dir = path_ + "/" + name;
  NETFS_ASSERT(::mkdir(dir.c_str(), 0700) == 0);
  return dir;
}

}  // namespace netfs::test
