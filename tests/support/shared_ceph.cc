#include "tests/support/shared_ceph.h"

#include <filesystem>
#include <sys/stat.h>

namespace netfs::test {

SharedCeph& SharedCeph::get() {
  static SharedCeph one;
  return one;
}

SharedCeph::SharedCeph() : ceph_(temp_) {
  const std::string beside = temp_ / "beside";
  // Ordinary users are to come by.
  (void)::chmod(temp_.path().c_str(), 0755);
  if (ceph_.ready() && ceph_.mount_beside(beside)) beside_ = beside;
}

std::string SharedCeph::new_folder() {
  const std::string folder = beside_ + "/" + std::to_string(++folders_);
  std::filesystem::create_directory(folder);
  (void)::chmod(folder.c_str(), 0755);
  return folder;
}

std::vector<std::string> SharedCeph::mount_options() const {
  std::string options;
  for (const auto& [name, value] : ceph_.options()) {
    options += (options.empty() ? "" : ",") + name + "=" + value;
  }
  return {"-o", options};
}

}  // namespace netfs::test
