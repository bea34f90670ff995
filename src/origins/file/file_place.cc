#include "origins/file/file_place.h"

#include <cerrno>
#include <fcntl.h>

namespace netfs::origins {

Result<Place> find_place(int root, const std::string& path) {
  if (path.empty()) return Error(EBUSY, "file.name");
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? std::string() : path.substr(0, slash);
  Place place;
  place.name = slash == std::string::npos ? path : path.substr(slash + 1);
  place.directory = TRY(open_beneath(root, parent, O_PATH | O_DIRECTORY));
  return place;
}

Result<Held> Held::find(int root, const FileAt& file) {
  Held held;
  if (file.open != nullptr) {
    held.fd_ = static_cast<LocalFile&>(*file.open).fd.get();
    return held;
  }
  held.opened_ = TRY(open_beneath(root, file.path, O_PATH | O_NOFOLLOW));
  held.fd_ = held.opened_.get();
  return held;
}

std::string Held::path() const {
  return "/proc/self/fd/" + std::to_string(fd_);
}

}  // namespace netfs::origins
