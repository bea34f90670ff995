#include "origins/nfs/walk.h"

#include <cerrno>
#include <cstring>
#include <spdlog/fmt/fmt.h>
#include <utility>

namespace netfs::origins::nfs {

std::string above(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<Walked> walk(Names& names, Handle directory, std::string at, std::string rest,
                    Deadline deadline) {
  NodeInfo info = TRY(names.get_attributes(directory, deadline));
  for (;;) {
    if (info.attributes.type == FileType::kSymlink) {
      const std::string target = TRY(names.read_link(directory, deadline));
      std::string from = target.starts_with('/') ? target : above(at) + "/" + target;
      return Walked{{}, rest.empty() ? from : from + "/" + rest};
    }
    if (info.attributes.type != FileType::kDirectory) return Error(ENOTDIR, "nfs.mount");
    if (rest.empty()) return Walked{std::move(directory), {}};
    const std::string name = rest.substr(0, rest.find('/'));
    rest.erase(0, name.size() + 1);
    if (name.empty() || name == ".") continue;
    Found found = TRY(names.look_up(directory, name, deadline));
    at += "/" + name;
    directory = std::move(found.handle);
    info = std::move(found.info);
  }
}

Error not_mounted(const Settings& settings, const Error& error, const std::string& hint) {
  std::string why = strerror(error.code());
  if (!error.detail().empty()) why += ": " + error.detail();
  if (!hint.empty()) why += " (" + hint + ")";
  return Error(error.code(), "nfs.mount",
               fmt::format("{}: {} on the server: {}", settings.host, settings.path, why));
}

}  // namespace netfs::origins::nfs
