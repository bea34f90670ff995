#pragma once
// Session: one client of a cluster, with the file system mounted; and Node: a file of it.
//
// All calls of libcephfs block for as long as a daemon is silent, so all of this is used on the
// threads of Calls alone.  A client that the cluster has thrown out, or that was given up, is gone
// for good, and what is open by it; Sessions has the next one.
//
// Thread-safe.

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "base/ref.h"
#include "base/result.h"
#include "origins/ceph/libcephfs_api.h"
#include "origins/ceph/lock_classes.h"
#include "origins/ceph/settings.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::origins::ceph {

class Session final : public RefCounted<Session> {
 public:
  // The error is a sentence: whether it was the configuration, the key, the network, the name of
  // the file system or the path.
  //
  // The cluster knows it by the mount's name and its number among those of this process; what has
  // that number there, and with the first one all that a process before this one has left, is
  // thrown out: the cluster would wait for it, for minutes, where others want what it had.
  static Result<Ref<Session>> mount(const Settings& settings, uint64_t number);
  // Gives back what it has of the cluster.
  ~Session();

  [[nodiscard]] ceph_mount_info* mount() const { return mount_; }
  [[nodiscard]] const UserPerm* user() const { return user_; }
  // Whoever is root may everything, and gives away what he makes.
  [[nodiscard]] bool is_root() const { return is_root_; }

  // What a call answered, which was negative.  Notices when this client was thrown out: ENOTCONN.
  Error error(int64_t answer, const char* context);
  // Nobody uses it any more.
  void give_up() { gone_.store(true, std::memory_order_release); }
  [[nodiscard]] bool is_gone() const { return gone_.load(std::memory_order_acquire); }

 private:
  Session(ceph_mount_info* mount, UserPerm* user, bool is_root)
      : mount_(mount), user_(user), is_root_(is_root) {}

  ceph_mount_info* const mount_;
  UserPerm* const user_;
  const bool is_root_;
  std::atomic<bool> gone_{false};
};

// The session of now.
class Sessions final : public RefCounted<Sessions> {
 public:
  explicit Sessions(Settings settings) : settings_(std::move(settings)) {}

  // Mounts where there is none; waits while somebody else does.
  Result<Ref<Session>> acquire() EXCLUDES(mutex_);
  // Takes it away, and gives no other one.
  Ref<Session> close() EXCLUDES(mutex_);
  [[nodiscard]] uint64_t losses() const EXCLUDES(mutex_);

 private:
  const Settings settings_;
  mutable sync::Mutex mutex_{kSessionsLock};
  sync::CondVar changed_;
  Ref<Session> current_ GUARDED_BY(mutex_);
  bool mounting_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
  uint64_t mounted_ GUARDED_BY(mutex_) = 0;
  uint64_t losses_ GUARDED_BY(mutex_) = 0;
};

// A file that libcephfs keeps for us.
class Node {
 public:
  Node() = default;
  Node(Ref<Session> session, Inode* inode) : session_(std::move(session)), inode_(inode) {}
  Node(Node&& other) noexcept
      : session_(std::move(other.session_)), inode_(std::exchange(other.inode_, nullptr)) {}
  Node& operator=(Node&& other) noexcept {
    std::swap(session_, other.session_);
    std::swap(inode_, other.inode_);
    return *this;
  }
  ~Node() {
    if (inode_ != nullptr) (void)::ceph_ll_put(session_->mount(), inode_);
  }

  [[nodiscard]] Session& session() const { return *session_; }
  [[nodiscard]] const Ref<Session>& session_ref() const { return session_; }
  [[nodiscard]] Inode* inode() const { return inode_; }

 private:
  Ref<Session> session_;
  Inode* inode_ = nullptr;
};

}  // namespace netfs::origins::ceph
