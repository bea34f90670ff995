#pragma once
// local_file: what the reading and the writing half of FileOrigin share: files by descriptor, paths
// beneath the root, and statx(2) as a NodeInfo.

#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netfs/origin.h"

namespace netfs::origins {

struct LocalFile final : OriginFile {
  explicit LocalFile(UniqueFd descriptor) : fd(std::move(descriptor)) {}
  [[nodiscard]] int descriptor() const override { return fd.get(); }
  const UniqueFd fd;
};

// Opens a path beneath `root` ("" is the root itself) through no symbolic link.
Result<UniqueFd> open_beneath(int root, const std::string& path, int flags, uint32_t mode = 0);

// Of a name in a directory, not followed; of the descriptor itself where the name is "".
Result<NodeInfo> stat_fd(int fd, const char* name);

}  // namespace netfs::origins
