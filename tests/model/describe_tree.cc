#include "tests/model/describe_tree.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <sys/stat.h>
#include <vector>

#include "tests/support/tree.h"

namespace netfs::test {

namespace {

void describe(const std::filesystem::path& root, const std::string& below, std::string& text) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(root / below)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string path = below.empty() ? name : below + "/" + name;
    struct stat st {};
    if (::lstat((root / path).c_str(), &st) != 0) {
      text += path + ": " + strerrorname_np(errno) + "\n";
      continue;
    }
    char line[64];
    std::snprintf(line, sizeof line, " %06o %lld ", st.st_mode,
                  S_ISDIR(st.st_mode) ? 0LL : static_cast<long long>(st.st_size));
    text += path + line;
    if (S_ISREG(st.st_mode)) {
      const Result<std::string> bytes = read_whole((root / path).string());
      text += bytes.ok() ? std::to_string(std::hash<std::string>()(bytes.value()))
                         : std::string(strerrorname_np(bytes.code()));
    } else if (S_ISLNK(st.st_mode)) {
      text += std::filesystem::read_symlink(root / path).string();
    }
    text += "\n";
    if (S_ISDIR(st.st_mode)) describe(root, path, text);
  }
}

}  // namespace

std::string describe_tree(const std::string& root) {
  std::string text;
  describe(root, "", text);
  return text;
}

}  // namespace netfs::test
