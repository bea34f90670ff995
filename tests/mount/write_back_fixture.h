#pragma once
// What the tests of --write=back share: the mount of write_fixture.h, and waiting for its uploads.

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/mount/write_fixture.h"
#include "tests/support/process.h"

namespace netfs::test {

class WriteBack : public WritableMount {
 protected:
  // Of a mount: nothing that is done after hold_uploads() comes to the origin, in the next quarter
  // of a minute, before go_on_uploading().  Changes go there one behind the other.
  static constexpr const char* kSlowUploads = "--bwlimit=32K:off";
  void hold_uploads() { ASSERT_EQ(put(here("in-front"), std::string(500'000, 'f')), 0); }
  void go_on_uploading() { ASSERT_EQ(limit("off").status, 0); }

  // What `netfs status` says of the journal.
  [[nodiscard]] nlohmann::json journal() const {
    const nlohmann::json status = mount_->status();
    return status.is_object() ? status["mounts"][0]["journal"] : nlohmann::json();
  }
  // A tree: what each path holds.
  static std::map<std::string, std::string> tree_of(const std::string& root) {
    std::map<std::string, std::string> seen;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      const std::string path = entry.path().string().substr(root.size() + 1);
      if (entry.is_symlink()) {
        seen[path] = "-> " + std::filesystem::read_symlink(entry.path()).string();
      } else {
        seen[path] = entry.is_directory() ? "directory" : whole(entry.path());
      }
    }
    return seen;
  }
};

}  // namespace netfs::test
