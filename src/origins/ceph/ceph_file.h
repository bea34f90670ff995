#pragma once
// CephFile: an open file is libcephfs's handle of it, which is closed on a thread of Calls, when
// the last call by it has ended.

#include <utility>

#include "netfs/origin.h"
#include "origins/ceph/calls.h"
#include "origins/ceph/names.h"

namespace netfs::origins::ceph {

class OpenHandle final : public RefCounted<OpenHandle> {
 public:
  OpenHandle(Node node, Fh* handle) : node_(std::move(node)), handle_(handle) {}
  ~OpenHandle() { (void)::ceph_ll_close(node_.session().mount(), handle_); }

  [[nodiscard]] Session& session() const { return node_.session(); }
  [[nodiscard]] const Node& node() const { return node_; }
  [[nodiscard]] Fh* get() const { return handle_; }
  // A client that was thrown out has let go of it.
  [[nodiscard]] Result<void> usable() const {
    if (session().is_gone()) return Error(ENOTCONN, "ceph.file");
    return {};
  }

 private:
  const Node node_;
  Fh* const handle_;
};

class CephFile final : public OriginFile {
 public:
  CephFile(Ref<OpenHandle> handle, Calls& calls) : handle_(std::move(handle)), calls_(calls) {}
  ~CephFile() override {
    (void)calls_.post([handle = std::move(handle_)]() mutable { handle = nullptr; });
  }
  CephFile(const CephFile&) = delete;
  CephFile& operator=(const CephFile&) = delete;

  [[nodiscard]] const Ref<OpenHandle>& handle() const { return handle_; }

 private:
  Ref<OpenHandle> handle_;
  Calls& calls_;
};

// EISDIR, ELOOP or EINVAL: what is no regular file.
Result<Ref<OpenHandle>> open_node(Found found, int flags);

}  // namespace netfs::origins::ceph
