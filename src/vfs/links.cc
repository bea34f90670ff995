// READLINK, and which targets are shown.

#include "vfs/links.h"

#include <cerrno>
#include <memory>

#include "vfs/file_system.h"
#include "vfs/in_time.h"
#include "vfs/late_targets.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

// Calls visit(component) for each that is neither empty nor ".", until it says false.
template <class Visit>
bool walk(std::string_view path, Visit visit) {
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (!visit(part)) return false;
  }
  return true;
}

size_t depth_of(std::string_view directory) {
  size_t depth = 0;
  walk(directory, [&depth](std::string_view) { return ++depth > 0; });
  return depth;
}

}  // namespace

std::optional<std::string> contained_target(std::string_view directory, std::string_view target,
                                            std::string_view remote_root) {
  if (target.empty()) return {};
  const size_t depth = depth_of(directory);
  size_t climbed = 0;
  std::string shown;
  if (target.front() == '/') {
    const std::string_view root = remote_root == "/" ? "" : remote_root;
    const bool beneath = !remote_root.empty() && target.starts_with(root) &&
                         (target.size() == root.size() || target[root.size()] == '/');
    if (!beneath) return {};
    target.remove_prefix(root.size());
    const size_t name = target.find_first_not_of('/');
    target.remove_prefix(name == std::string_view::npos ? target.size() : name);
    climbed = depth;
    for (size_t i = 0; i < depth; ++i) shown.append("../");
    if (shown.empty() && target.empty()) shown.push_back('.');
  }
  bool named = false;
  const bool stays = walk(target, [&](std::string_view part) {
    if (part != "..") {
      named = true;
      return true;
    }
    return !named && ++climbed <= depth;
  });
  if (!stays) return {};
  return shown.append(target);
}

void FileSystem::answer_link(std::string_view path, std::string_view target, fuse::Reply& reply) {
  const auto send = [&reply](std::string_view text) {
    reply.data(std::as_bytes(std::span(text.data(), text.size())));
  };
  if (options_.symlinks == Symlinks::kAsIs) return send(target);
  const size_t slash = path.rfind('/');
  const std::string_view directory =
      slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  const std::optional<std::string> shown =
      contained_target(directory, target, options_.remote_root);
  if (shown && shown->size() <= kLinkBytesMax) return send(*shown);
  counters_.refused_links.add();
  reply.error(EACCES);
}

void FileSystem::read_link(const fuse::Request& request, fuse::Reply reply) {
  const fuse::NodeId id = request.header.node;
  std::string target;
  std::string path;
  int error = 0;
  bool known = false;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    if (node == nullptr) {
      error = ESTALE;
    } else if (node->attributes.type != FileType::kSymlink) {
      error = EINVAL;
    } else {
      path = InodeTable::path_of(*node);
      // Another target would be another version, and so another node.
      known = node->target() != nullptr;
      if (known) target = *node->target();
    }
  }
  if (error != 0) return reply.error(error);
  if (known) return answer_link(path, target, reply);
  if (!link_flights_.join(std::to_string(id.value), pending_.add(std::move(reply)))) {
    counters_.coalesced.add();
    return;
  }
  on_worker([this, id, path, until = deadline()] { fetch_link(id, path, until); });
}

void FileSystem::fetch_link(fuse::NodeId id, const std::string& path, Deadline until) {
  // Another of the same moment would be the same version.
  bool may_change_unseen = false;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    may_change_unseen = node != nullptr && hides_changes(*node);
  }
  Result<std::string> read = Error(ETIMEDOUT, "vfs.read_link");
  if (!until.passed(clock_.now())) {
    read = in_time(origin_.read_link(path, until), counters_);
    note_outcome(read.code());
  }
  if (should_wait(read.code())) {
    const bool later = metadata_.post_at(Clock::system().now() + kWaitPause,
                                         [this, id, path] { fetch_link(id, path, deadline()); });
    if (later) return;
  }
  if (read.ok()) {
    // The kernel takes PATH_MAX at most, and a NUL would cut the text short.
    const std::string& text = read.value();
    if (text.empty() || text.size() > kLinkBytesMax || text.find('\0') != std::string::npos) {
      read = Error(EIO, "vfs.read_link");
    }
  }
  std::optional<fuse::NodeId> learnt_in;
  if (read.ok() && !may_change_unseen) {
    sync::MutexLock lock(table_.mutex);
    if (Node* node = table_.find(id)) {
      node->seldom_part().target = read.value();
      node->parent->directory->kept.learnt = true;
      learnt_in = table_.id(*node->parent);
    }
  }
  for (const Ref<Pending>& pending : link_flights_.land(std::to_string(id.value))) {
    if (!read.ok()) {
      pending->error(read.code());
      continue;
    }
    pending->answer([&](fuse::Reply& to) { answer_link(path, read.value(), to); });
  }
  if (learnt_in && late_targets_) late_targets_->add(*learnt_in);
}

}  // namespace netfs::vfs
