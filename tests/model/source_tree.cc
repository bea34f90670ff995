#include "tests/model/source_tree.h"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/tree.h"

namespace netfs::test {
namespace {

constexpr unsigned kFirstFiles = 12;
constexpr unsigned kFirstDirectories = 3;

// Paths below the root that a predicate likes, sorted, so that a seed means the same everywhere.
template <class Predicate>
std::vector<std::string> select(const std::string& root, Predicate predicate) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (predicate(entry)) {
      found.push_back(std::filesystem::relative(entry.path(), root).string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

SourceTree::SourceTree(std::string path, std::mt19937_64& random)
    : path_(std::move(path)), random_(random) {
  for (unsigned i = 0; i < kFirstDirectories; ++i) {
    ::mkdir((path_ + "/dir" + std::to_string(i)).c_str(), 0755);
  }
  for (unsigned i = 0; i < kFirstFiles; ++i) {
    const std::string name = new_name();
    write_file(path_ + "/" + name, random_bytes());
    stamp(name);
  }
}

std::vector<std::string> SourceTree::files() const {
  return select(path_, [](const auto& e) { return e.is_regular_file() && !e.is_symlink(); });
}

std::string SourceTree::any_file() {
  const std::vector<std::string> all = files();
  return all.empty() ? "" : all[random_() % all.size()];
}

std::string SourceTree::any_directory() {
  std::vector<std::string> all =
      select(path_, [](const auto& e) { return e.is_directory() && !e.is_symlink(); });
  all.insert(all.begin(), "");
  return all[random_() % all.size()];
}

std::string SourceTree::new_name() {
  const std::string directory = any_directory();
  const std::string name = "n" + std::to_string(version_++);
  return directory.empty() ? name : directory + "/" + name;
}

// Empty, short of a page, around a block, several blocks; now and then zeroes in the middle.
std::string SourceTree::random_bytes() {
  static constexpr uint64_t kSizes[] = {0, 1, 4095, 4096, 65535, 65536, 65537, 300000, 1 << 20};
  const uint64_t size = kSizes[random_() % std::size(kSizes)] + random_() % 3 * 1000;
  std::string bytes = pattern(++version_, 0, size);
  if (size > 200000 && random_() % 3 == 0) {
    std::fill(bytes.begin() + 65536, bytes.begin() + 3 * 65536, '\0');
  }
  return bytes;
}

void SourceTree::stamp(const std::string& relative) {
  clock_seconds_ += 2;
  const timespec times[2] = {{clock_seconds_, 0}, {clock_seconds_, 0}};
  ::utimensat(AT_FDCWD, (path_ + "/" + relative).c_str(), times, AT_SYMLINK_NOFOLLOW);
}

std::string SourceTree::change() {
  const std::string file = any_file();
  const std::string full = path_ + "/" + file;
  const unsigned kind = random_() % 10;
  if (kind <= 1 || file.empty()) {
    const std::string name = new_name();
    write_file(path_ + "/" + name, random_bytes());
    stamp(name);
    return "create " + name;
  }
  if (kind == 8) {
    const std::string name = new_name();
    ::mkdir((path_ + "/" + name).c_str(), 0755);
    return "mkdir " + name;
  }
  if (kind == 9) {
    const std::string name = new_name();
    const int failed =
        ::symlink(("target" + std::to_string(version_)).c_str(), (path_ + "/" + name).c_str());
    return (failed != 0 ? "failed to link " : "link ") + name;
  }
  if (kind == 7) {
    ::unlink(full.c_str());
    return "unlink " + file;
  }
  if (kind == 6) {
    const std::string name = new_name();
    ::rename(full.c_str(), (path_ + "/" + name).c_str());
    stamp(name);
    return "rename " + file + " to " + name;
  }
  if (kind == 5) {
    struct stat st {};
    ::stat(full.c_str(), &st);
    const int failed = ::truncate(
        full.c_str(), static_cast<off_t>(random_() % static_cast<uint64_t>(st.st_size + 1)));
    stamp(file);
    return (failed != 0 ? "failed to truncate " : "truncate ") + file;
  }
  if (kind == 4) {
    const std::string fresh = path_ + "/.fresh";
    write_file(fresh, random_bytes());
    ::rename(fresh.c_str(), full.c_str());
    stamp(file);
    return "replace " + file;
  }
  write_file(full, random_bytes());
  stamp(file);
  return "rewrite " + file;
}

}  // namespace netfs::test
