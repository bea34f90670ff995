#include "tests/crash/numbered_changes.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "tests/support/tree.h"

namespace netfs::test {
namespace {

// Of a tree's entry: its type, four octal digits, and the rest.
constexpr size_t kBytesFrom = 5;
constexpr size_t kFilesMax = 12;
constexpr size_t kPageBytes = 4096;

std::string entry_of(char type, unsigned permissions, const std::string& rest = "") {
  char digits[8] = {};
  std::snprintf(digits, sizeof digits, "%04o", permissions & 07777U);
  return type + std::string(digits, 4) + rest;
}

bool is_below(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

// In a line.
std::string in_short(const std::string& entry) {
  return entry.substr(0, kBytesFrom) + " " + std::to_string(entry.size() - kBytesFrom) + " bytes " +
         std::to_string(std::hash<std::string>()(entry) % 100000);
}

}  // namespace

NumberedChanges::Tree NumberedChanges::shown(const std::string& root) {
  Tree tree;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    const std::string path = entry.path().string();
    struct stat is {};
    if (::lstat(path.c_str(), &is) != 0) {
      tree[path.substr(root.size() + 1)] = std::string("error ") + std::strerror(errno);
    } else if (S_ISLNK(is.st_mode)) {
      tree[path.substr(root.size() + 1)] =
          entry_of('l', 0, std::filesystem::read_symlink(entry.path()).string());
    } else if (S_ISDIR(is.st_mode)) {
      tree[path.substr(root.size() + 1)] = entry_of('d', is.st_mode);
    } else {
      const Result<std::string> bytes = read_whole(path);
      tree[path.substr(root.size() + 1)] = bytes.ok()
                                               ? entry_of('f', is.st_mode, bytes.value())
                                               : std::string("error ") + bytes.error().message();
    }
  }
  return tree;
}

void NumberedChanges::may_be(Tree next) {
  history_.push_back(std::move(next));
}

bool NumberedChanges::is_done(int64_t result, const std::string& call) {
  if (result >= 0) return true;
  failed_ = std::to_string(number_) + ": " + call + ": " + std::strerror(errno);
  return false;
}

std::string NumberedChanges::any(char type) {
  std::vector<std::string> all;
  for (const auto& [path, entry] : now()) {
    if (entry[0] == type || (type == '*' && entry[0] != 'd')) all.push_back(path);
  }
  return all.empty() ? "" : all[random_() % all.size()];
}

std::string NumberedChanges::new_name() {
  const std::string directory = random_() % 2 == 0 ? "" : any('d');
  return (directory.empty() ? "" : directory + "/") + "n" + std::to_string(number_);
}

std::string NumberedChanges::some_bytes() {
  static constexpr size_t kLengths[] = {1, 100, 4096, 5000, 30'000, 70'000};
  return pattern(number_, 0, 1 + random_() % kLengths[random_() % 6]);
}

bool NumberedChanges::make_file(const std::string& path, int flags, int& fd) {
  Tree next = now();
  next[path] = entry_of('f', 0640);
  may_be(std::move(next));
  fd = ::open((root_ + path).c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | flags, 0640);
  return is_done(fd, "create " + path);
}

bool NumberedChanges::put(int fd, const std::string& path, size_t offset,
                          const std::string& bytes) {
  Tree next = now();
  std::string& entry = next[path];
  entry.resize(std::max(entry.size(), kBytesFrom + offset + bytes.size()), '\0');
  entry.replace(kBytesFrom + offset, bytes.size(), bytes);
  written_[history_.size()] = {path, offset, bytes.size()};
  may_be(std::move(next));
  const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  return is_done(n == static_cast<ssize_t>(bytes.size()) ? 0 : -1, "write " + path);
}

bool NumberedChanges::write_new(const std::string& path) {
  int raw = -1;
  const bool at_once = random_() % 6 == 0;
  if (!make_file(path, at_once ? O_SYNC : 0, raw)) return false;
  const UniqueFd fd(raw);
  if (!put(raw, path, 0, some_bytes())) return false;
  if (at_once) is_durable();
  return true;
}

// Beyond its end, over some of it, at its end as O_APPEND finds it, or its size.
bool NumberedChanges::write_on(const std::string& path) {
  const size_t size = now().at(path).size() - kBytesFrom;
  const uint64_t how = random_() % 4;
  if (how == 0) {
    const size_t length = random_() % (size + 5000);
    Tree next = now();
    next[path].resize(kBytesFrom + length, '\0');
    may_be(std::move(next));
    return is_done(::truncate((root_ + path).c_str(), static_cast<off_t>(length)), "cut " + path);
  }
  const int flags = O_RDWR | O_CLOEXEC | (how == 1 ? O_APPEND : 0);
  const UniqueFd fd(::open((root_ + path).c_str(), flags));
  if (!is_done(fd.get(), "open " + path)) return false;
  const size_t from = how == 1 ? size : random_() % (size + 3000);
  if (!put(fd.get(), path, from, some_bytes())) return false;
  if (random_() % 4 != 0) return true;
  const bool only_data = random_() % 2 == 0;
  if (!is_done(only_data ? ::fdatasync(fd.get()) : ::fsync(fd.get()), "sync " + path)) return false;
  is_durable();
  return true;
}

// As an editor saves: all of it, or nothing; also where somebody has the old one open.
bool NumberedChanges::replace(const std::string& path) {
  const std::string beside = path + ".new";
  int raw = -1;
  if (!make_file(beside, 0, raw)) return false;
  {
    const UniqueFd fd(raw);
    if (!put(raw, beside, 0, some_bytes())) return false;
  }
  UniqueFd reader;
  Tree next = now();
  if (random_() % 3 == 0) {
    reader.reset(::open((root_ + path).c_str(), O_RDONLY | O_CLOEXEC));
    if (!is_done(reader.get(), "open " + path)) return false;
  }
  next[path] = next[beside];
  next.erase(beside);
  may_be(std::move(next));
  if (!is_done(::rename((root_ + beside).c_str(), (root_ + path).c_str()), "replace " + path)) {
    return false;
  }
  is_durable();
  return true;
}

bool NumberedChanges::move(const std::string& path) {
  const std::string to = new_name();
  if (is_below(to, path)) return true;
  Tree next;
  for (const auto& [at, entry] : now()) {
    const bool moves = at == path || is_below(at, path);
    next[moves ? to + at.substr(path.size()) : at] = entry;
  }
  may_be(std::move(next));
  return is_done(::rename((root_ + path).c_str(), (root_ + to).c_str()), "move " + path);
}

bool NumberedChanges::remove(const std::string& path) {
  Tree next = now();
  const bool directory = next[path][0] == 'd';
  next.erase(path);
  const bool full = std::any_of(next.begin(), next.end(),
                                [&](const auto& one) { return is_below(one.first, path); });
  if (full) return true;
  may_be(std::move(next));
  const std::string where = root_ + path;
  return is_done(directory ? ::rmdir(where.c_str()) : ::unlink(where.c_str()), "remove " + path);
}

bool NumberedChanges::change_attributes(const std::string& path) {
  Tree next = now();
  const unsigned permissions = 0600 + static_cast<unsigned>(random_() % 64);
  next[path] = entry_of(next[path][0], permissions, next[path].substr(kBytesFrom));
  may_be(std::move(next));
  return is_done(::chmod((root_ + path).c_str(), permissions), "chmod " + path);
}

bool NumberedChanges::sync(const std::string& path) {
  const UniqueFd fd(::open((root_ + path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!is_done(fd.get(), "open " + path)) return false;
  if (!is_done(::fsync(fd.get()), "sync " + path)) return false;
  is_durable();
  return true;
}

bool NumberedChanges::make(const std::string& root) {
  root_ = root + "/";
  ++number_;
  const std::string file = any('f');
  if (file.empty()) return write_new(new_name());
  const uint64_t what = random_() % 16;
  if (what < 5) return write_on(file);
  if (what < 7) return now().size() < kFilesMax ? write_new(new_name()) : remove(any('*'));
  if (what < 9) return replace(file);
  if (what < 10) return change_attributes(file);
  const std::string directory = any('d');
  if (what < 11) return sync(directory.empty() || random_() % 2 == 0 ? file : directory);
  if (what < 13) return move(what == 11 && !directory.empty() ? directory : any('*'));
  if (what < 14) return remove(directory.empty() || random_() % 2 == 0 ? any('*') : directory);
  const std::string made = root_ + new_name();
  const std::string path = made.substr(root_.size());
  Tree next = now();
  next[path] = what == 14 ? entry_of('d', 0750) : entry_of('l', 0, "n" + path);
  may_be(std::move(next));
  return is_done(
      what == 14 ? ::mkdir(made.c_str(), 0750) : ::symlink(("n" + path).c_str(), made.c_str()),
      "make " + path);
}

bool NumberedChanges::is_at(const Tree& tree, size_t i) const {
  if (tree == history_[i]) return true;
  const auto next = written_.find(i + 1);
  if (next == written_.end()) return false;
  const auto& [path, offset, length] = next->second;
  const auto seen = tree.find(path);
  Tree others = history_[i];
  if (seen == tree.end()) return false;
  others[path] = seen->second;
  if (tree != others) return false;
  const std::string& after = history_[i + 1].at(path);
  for (size_t end = (offset / kPageBytes + 1) * kPageBytes; end < offset + length;
       end += kPageBytes) {
    std::string part = history_[i].at(path);
    part.resize(std::max(part.size(), kBytesFrom + end), '\0');
    part.replace(kBytesFrom + offset, end - offset, after, kBytesFrom + offset, end - offset);
    if (seen->second == part) return true;
  }
  return false;
}

bool NumberedChanges::is_one_of_them(const Tree& tree) const {
  for (size_t i = durable_; i < history_.size(); ++i) {
    if (is_at(tree, i)) return true;
  }
  return false;
}

std::string NumberedChanges::difference(const Tree& tree) const {
  std::string least;
  size_t fewest = SIZE_MAX;
  for (size_t i = history_.size(); i-- > 0;) {
    std::string said = "nearest to step " + std::to_string(i) + " of " + std::to_string(steps()) +
                       ", durable was " + std::to_string(durable_) + "\n";
    size_t count = 0;
    for (const auto& [path, entry] : history_[i]) {
      const auto seen = tree.find(path);
      if (seen != tree.end() && seen->second == entry) continue;
      ++count;
      said += path + ": " + in_short(entry) + ", but " +
              (seen == tree.end() ? "is not there" : in_short(seen->second)) + "\n";
    }
    for (const auto& [path, entry] : tree) {
      if (history_[i].contains(path)) continue;
      ++count;
      said += path + " is there: " + in_short(entry) + "\n";
    }
    if (count < fewest) {
      fewest = count;
      least = said;
    }
  }
  return least;
}

}  // namespace netfs::test
