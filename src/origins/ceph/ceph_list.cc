// CephOrigin, listing: names with their attributes, in parts, so that the first are shown while
// the others come.

#include <cerrno>
#include <unordered_set>
#include <utility>
#include <vector>

#include "origins/ceph/ceph_origin.h"
#include "origins/ceph/names.h"

namespace netfs::origins::ceph {

namespace {

constexpr size_t kPart = 500;

class OpenDirectory final : public RefCounted<OpenDirectory> {
 public:
  OpenDirectory(Node node, ceph_dir_result* handle) : node_(std::move(node)), handle_(handle) {}
  ~OpenDirectory() { (void)::ceph_ll_releasedir(node_.session().mount(), handle_); }
  [[nodiscard]] const Node& node() const { return node_; }
  [[nodiscard]] ceph_dir_result* get() const { return handle_; }

 private:
  const Node node_;
  ceph_dir_result* const handle_;
};

struct Part {
  std::vector<OriginEntry> entries;
  bool end = false;
};

Result<Ref<OpenDirectory>> open_directory(const Ref<Sessions>& sessions, const std::string& path) {
  Found found = TRY(find(sessions, path));
  const Ref<Session>& session = found.node.session_ref();
  if (found.info.attributes.type != FileType::kDirectory) return Error(ENOTDIR, "ceph.list");
  ceph_dir_result* handle = nullptr;
  const int opened =
      ::ceph_ll_opendir(session->mount(), found.node.inode(), &handle, session->user());
  if (opened < 0) return session->error(opened, "ceph.list");
  return make_ref<OpenDirectory>(std::move(found.node), handle);
}

Result<Part> read_part(const OpenDirectory& directory) {
  Session& session = directory.node().session();
  Part part;
  while (part.entries.size() < kPart) {
    dirent entry{};
    struct ceph_statx stx {};
    Inode* inode = nullptr;
    // Of the last name in an answer it has what was true before (16.2), so each is looked at: that
    // asks the server for what others may be changing, and nothing else.
    const int read = ::ceph_readdirplus_r(session.mount(), directory.get(), &entry, &stx, 0,
                                          AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW, &inode);
    if (read < 0) return session.error(read, "ceph.list");
    if (read == 0) {
      part.end = true;
      break;
    }
    const Node node(directory.node().session_ref(), inode);
    const std::string name = entry.d_name;
    if (name == "." || name == "..") continue;
    Result<NodeInfo> info = look_at(node);
    if (info.is_error(ENOENT) || info.is_error(ESTALE)) continue;  // removed meanwhile
    part.entries.push_back({name, TRY(std::move(info))});
  }
  return part;
}

}  // namespace

Result<void> CephOrigin::list(const std::string& path, Deadline deadline, const EntrySink& sink) {
  Result<Ref<OpenDirectory>> opened = calls_->look(
      deadline, [sessions = sessions_, path] { return open_directory(sessions, path); });
  const Ref<OpenDirectory> directory = TRY(std::move(opened));
  // One that is renamed while it is read may come twice.
  std::unordered_set<std::string> seen;
  Result<void> listed;
  for (bool end = false; !end && listed.ok();) {
    Result<Part> part =
        calls_->run(Calls::Kind::kLook, deadline, [directory] { return read_part(*directory); });
    if (!part.ok()) listed = part.error();
    if (!part.ok()) break;
    end = part.value().end;
    for (OriginEntry& entry : part.value().entries) {
      if (!seen.insert(entry.name).second) continue;
      listed = sink(std::move(entry));
      if (!listed.ok()) break;
    }
  }
  (void)calls_->post([directory]() mutable {});
  return listed;
}

}  // namespace netfs::origins::ceph
