// READLINK, and which targets are shown.

#include "vfs/links.h"

#include <cerrno>
#include <memory>

#include "vfs/file_system.h"

namespace netfs::vfs {

bool stays_beneath(std::string_view directory, std::string_view target) {
  if (target.empty() || target.front() == '/') return false;
  int64_t depth = 0;
  const auto walk = [&depth](std::string_view path) {
    while (!path.empty()) {
      const size_t slash = path.find('/');
      const std::string_view part = path.substr(0, slash);
      path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
      if (part.empty() || part == ".") continue;
      depth += part == ".." ? -1 : 1;
      if (depth < 0) return false;
    }
    return true;
  };
  return walk(directory) && walk(target);
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
      known = node->target != nullptr && is_fresh(*node);
      if (known) target = *node->target;
    }
  }
  if (error != 0) return reply.error(error);
  const auto answer = [this, path](fuse::Reply& to, std::string_view text) {
    const size_t slash = path.rfind('/');
    const std::string_view directory =
        slash == std::string::npos ? std::string_view() : std::string_view(path).substr(0, slash);
    if (options_.symlinks == Symlinks::kContain && !stays_beneath(directory, text)) {
      counters_.refused_links.add();
      return to.error(EACCES);
    }
    to.data(std::as_bytes(std::span(text.data(), text.size())));
  };
  if (known) return answer(reply, target);

  Ref<Pending> pending = pending_.add(std::move(reply));
  on_worker([this, id, path, answer, pending] {
    Result<std::string> read = origin_.read_link(path, deadline());
    if (!read.ok()) {
      counters_.origin_errors.add();
      return pending->error(read.code());
    }
    const std::string text = std::move(read).value();
    // The kernel takes PATH_MAX at most, and a NUL would cut the text short.
    if (text.empty() || text.size() >= 4096 || text.find('\0') != std::string::npos) {
      return pending->error(EIO);
    }
    {
      sync::MutexLock lock(table_.mutex);
      if (Node* node = table_.find(id)) node->target = std::make_unique<std::string>(text);
    }
    pending->answer([&](fuse::Reply& to) { answer(to, text); });
  });
}

}  // namespace netfs::vfs
