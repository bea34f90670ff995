// The tree of a SimulatedOrigin, as tests build and change it.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <utility>

#include "netfs/testing/simulated_node.h"
#include "netfs/testing/simulated_origin.h"

namespace netfs {

namespace {

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

}  // namespace

std::shared_ptr<SimulatedOrigin::Node> SimulatedOrigin::find_locked(const std::string& path) const {
  const auto found = nodes_.find(path);
  return found == nodes_.end() ? nullptr : found->second;
}

// Where handles outlive names each is a descriptor of an empty file that stands for it.
UniqueFd SimulatedOrigin::descriptor_locked(const std::shared_ptr<Node>& node, int access) {
  if (!options_.write || !options_.write->files_outlive_names) return {};
  UniqueFd made(::memfd_create("simulated", MFD_CLOEXEC));
  struct stat st {};
  if (::fstat(made.get(), &st) != 0) return {};
  by_descriptor_[st.st_ino] = node;
  if (access != O_RDONLY) return made;
  const std::string again = "/proc/self/fd/" + std::to_string(made.get());
  return UniqueFd(::open(again.c_str(), O_RDONLY | O_CLOEXEC));
}

void SimulatedOrigin::put_locked(const std::string& path, std::shared_ptr<Node> node) {
  if (!path.empty() && !find_locked(parent_of(path))) {
    auto directory = std::make_shared<Node>();
    directory->attributes.type = FileType::kDirectory;
    directory->attributes.permissions = 0755;
    directory->attributes.mtime = {kOldMtime, 0};
    put_locked(parent_of(path), std::move(directory));
  }
  if (node->identity == 0) node->identity = next_identity_++;
  node->attributes.ctime = node->attributes.mtime;
  node->attributes.atime = node->attributes.mtime;
  node->attributes.allocated_bytes = node->attributes.size_bytes;
  nodes_[path] = std::move(node);
}

void SimulatedOrigin::put(const std::string& path, std::shared_ptr<Node> node) {
  sync::MutexLock lock(mutex_);
  put_locked(path, std::move(node));
}

void SimulatedOrigin::add_directory(const std::string& path) {
  auto node = std::make_shared<Node>();
  node->attributes.type = FileType::kDirectory;
  node->attributes.permissions = 0755;
  node->attributes.mtime = {kOldMtime, 0};
  put(path, std::move(node));
}

void SimulatedOrigin::add_file(const std::string& path, std::string content, int64_t mtime) {
  auto node = std::make_shared<Node>();
  node->attributes.type = FileType::kRegular;
  node->attributes.permissions = 0644;
  node->attributes.size_bytes = content.size();
  node->attributes.mtime = {mtime, 0};
  node->content = std::move(content);
  put(path, std::move(node));
}

void SimulatedOrigin::add_pattern(const std::string& path, uint64_t size_bytes, uint64_t seed) {
  auto node = std::make_shared<Node>();
  node->attributes.type = FileType::kRegular;
  node->attributes.permissions = 0644;
  node->attributes.size_bytes = size_bytes;
  node->attributes.mtime = {kOldMtime, 0};
  node->pattern_seed = seed;
  put(path, std::move(node));
}

void SimulatedOrigin::add_symlink(const std::string& path, std::string target) {
  auto node = std::make_shared<Node>();
  node->attributes.type = FileType::kSymlink;
  node->attributes.permissions = 0777;
  node->attributes.size_bytes = target.size();
  node->attributes.mtime = {kOldMtime, 0};
  node->content = std::move(target);
  put(path, std::move(node));
}

void SimulatedOrigin::write(const std::string& path, std::string content) {
  sync::MutexLock lock(mutex_);
  const std::shared_ptr<Node> node = find_locked(path);
  NETFS_ASSERT(node);
  node->attributes.size_bytes = content.size();
  ++node->attributes.mtime.seconds;
  node->content = std::move(content);
  node->pattern_seed.reset();
  ++node->version;
}

void SimulatedOrigin::replace(const std::string& path, std::string content) {
  auto node = std::make_shared<Node>();
  sync::MutexLock lock(mutex_);
  const std::shared_ptr<Node> before = find_locked(path);
  NETFS_ASSERT(before);
  node->attributes = before->attributes;
  node->attributes.size_bytes = content.size();
  ++node->attributes.mtime.seconds;
  node->content = std::move(content);
  node->version = before->version + 1;
  put_locked(path, std::move(node));
}

void SimulatedOrigin::remove(const std::string& path) {
  sync::MutexLock lock(mutex_);
  nodes_.erase(path);
}

void SimulatedOrigin::set_attributes(const std::string& path, Attributes attributes) {
  sync::MutexLock lock(mutex_);
  const std::shared_ptr<Node> node = find_locked(path);
  NETFS_ASSERT(node);
  attributes.size_bytes = node->attributes.size_bytes;
  attributes.type = node->attributes.type;
  node->attributes = attributes;
}

}  // namespace netfs
