#pragma once
// For mount tests: a file system of one file that has versions, on a real mount in a private
// folder.
//
// The file is called "file", its st_ino is 100, and its nodeid names the version, from 2 on; OPEN
// of a version that is not the current one answers ESTALE.  A version's bytes are a file outside
// the mount, which is handed to the kernel (passthrough) or read by the handler.

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <string>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "fuse/backing.h"
#include "fuse/device_channel.h"
#include "fuse/lock_classes.h"
#include "fuse/mount.h"
#include "fuse/session.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::fuse {

inline constinit sync::LockClass kTestFsLock{"test.fuse_fs"};
inline constexpr Duration kPatience = std::chrono::seconds(60);
inline constexpr uint64_t kFileIno = 100;

inline Deadline soon() {
  return Deadline::after(Clock::system(), kPatience);
}

// Who reads the file: the kernel by itself, or the handler, through the page cache or around it.
enum class Reading { kPassthrough, kCached, kDirect };

class VersionedFs final : public Handler {
 public:
  VersionedFs(KernelChannel& channel, Reading reading) : reading_(reading), backing_(channel) {}

  void started(const Negotiated& /*negotiated*/) override {}
  void interrupt(uint64_t unique) override {
    sync::MutexLock lock(mutex_);
    interrupted_ = unique;
    changed_.notify_all();
  }

  void handle(const Request& request, Reply reply) override {
    const NodeId node = request.header.node;
    if (const auto* lookup = std::get_if<LookupRequest>(&request.body)) {
      answer_lookup(*lookup, std::move(reply));
    } else if (std::holds_alternative<GetattrRequest>(request.body)) {
      reply.value(attr_out(attr_of(node), kForever));
    } else if (std::holds_alternative<OpenRequest>(request.body)) {
      answer_open(node, std::move(reply));
    } else if (const auto* read = std::get_if<ReadRequest>(&request.body)) {
      answer_read(node, *read, request.header.resent(), std::move(reply));
    } else if (const auto* release = std::get_if<ReleaseRequest>(&request.body)) {
      // The kernel releases also what it failed to open after our answer.
      const bool counted = reading_ == Reading::kPassthrough && release->handle != kForeignId;
      if (counted) backing_.release(node);
      reply.ok();
      sync::MutexLock lock(mutex_);
      ++releases_;
      changed_.notify_all();
    } else if (reply) {
      reply.error(ENOSYS);
    }
  }

  // The next version: what `path`, outside the mount, holds.
  void publish(const std::string& path) {
    sync::MutexLock lock(mutex_);
    current_ = NodeId(current_.value + 1);
    versions_[current_] = path;
  }
  [[nodiscard]] NodeId current() const {
    sync::MutexLock lock(mutex_);
    return current_;
  }
  // READs are kept unanswered from now on.
  void hold_reads() {
    sync::MutexLock lock(mutex_);
    holding_ = true;
  }
  // Answers those kept, and keeps no more.
  void let_reads_go(int code) {
    std::vector<Reply> held;
    {
      sync::MutexLock lock(mutex_);
      holding_ = false;
      held.swap(held_);
    }
    for (Reply& reply : held) reply.error(code);
  }
  bool wait_held(size_t count) {
    return wait_for([&]() REQUIRES(mutex_) { return held_.size() >= count; });
  }
  bool wait_interrupted() {
    return wait_for([&]() REQUIRES(mutex_) { return interrupted_ != 0; });
  }
  bool wait_releases(unsigned count) {
    return wait_for([&]() REQUIRES(mutex_) { return releases_ >= count; });
  }
  [[nodiscard]] unsigned resent_reads() const {
    sync::MutexLock lock(mutex_);
    return resent_reads_;
  }

  // Opens answer this id from now on; 0: the node's own again.
  void use_id(int32_t id) { other_id_.store(id); }
  BackingIds& backing() { return backing_; }

 private:
  static constexpr HandleId kForeignId{2};  // of opens that answered use_id()'s

  template <class Condition>
  bool wait_for(Condition condition) {
    const Deadline deadline = soon();
    sync::MutexLock lock(mutex_);
    while (!condition()) {
      if (!changed_.wait_until(mutex_, deadline.at)) return condition();
    }
    return true;
  }

  std::string path_of(NodeId node) const {
    sync::MutexLock lock(mutex_);
    const auto found = versions_.find(node);
    return found == versions_.end() ? "" : found->second;
  }

  Attr attr_of(NodeId node) const {
    if (node == kRootNode) return {.ino = 1, .mode = S_IFDIR | 0755, .link_count = 2};
    struct stat backing {};
    EXPECT_EQ(::stat(path_of(node).c_str(), &backing), 0) << "node " << node.value;
    return {.ino = kFileIno,
            .size_bytes = static_cast<uint64_t>(backing.st_size),
            .mode = S_IFREG | 0644};
  }

  void answer_lookup(const LookupRequest& lookup, Reply reply) {
    const NodeId node = current();
    if (lookup.name != "file" || node.value < 2) return reply.error(ENOENT);
    reply.value(entry_out(
        {.node = node, .entry_valid = kForever, .attr_valid = kForever, .attr = attr_of(node)}));
  }

  void answer_open(NodeId node, Reply reply) {
    if (node != current()) return reply.error(ESTALE);
    if (reading_ != Reading::kPassthrough) {
      const bool direct = reading_ == Reading::kDirect;
      return reply.value(
          open_out({.handle = HandleId(1), .keep_cache = !direct, .direct_io = direct}));
    }
    const UniqueFd fd(::open(path_of(node).c_str(), O_RDONLY | O_CLOEXEC));
    if (const int32_t other = other_id_.load(); other > 0) {
      return reply.value(open_out({.handle = kForeignId, .backing_id = other}));
    }
    const Result<int32_t> id = backing_.acquire(node, fd.get());
    if (!id.ok()) return reply.error(id.code());
    reply.value(open_out({.handle = HandleId(1), .no_flush = true, .backing_id = id.value()}));
  }

  void answer_read(NodeId node, const ReadRequest& read, bool resent, Reply reply) {
    {
      sync::MutexLock lock(mutex_);
      if (resent) ++resent_reads_;
      if (holding_) {
        held_.push_back(std::move(reply));
        changed_.notify_all();
        return;
      }
    }
    const UniqueFd fd(::open(path_of(node).c_str(), O_RDONLY | O_CLOEXEC));
    std::vector<std::byte> data(read.range.length_bytes);
    const ssize_t length =
        ::pread(fd.get(), data.data(), data.size(), static_cast<off_t>(read.range.offset_bytes));
    if (length < 0) return reply.error(errno);
    reply.data({data.data(), static_cast<size_t>(length)});
  }

  const Reading reading_;
  BackingIds backing_;
  std::atomic<int32_t> other_id_{0};
  mutable sync::Mutex mutex_{kTestFsLock};
  sync::CondVar changed_;
  NodeId current_ GUARDED_BY(mutex_){1};
  std::map<NodeId, std::string> versions_ GUARDED_BY(mutex_);
  std::vector<Reply> held_ GUARDED_BY(mutex_);
  uint64_t interrupted_ GUARDED_BY(mutex_) = 0;
  unsigned releases_ GUARDED_BY(mutex_) = 0;
  unsigned resent_reads_ GUARDED_BY(mutex_) = 0;
  bool holding_ GUARDED_BY(mutex_) = false;
};

// What the tests need: without it they fail, or, when told so, say why they cannot run.
inline std::string missing_for_mounts() {
  if (::geteuid() != 0) return "mount tests need root";
  const UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  return device ? "" : "mount tests need /dev/fuse";
}

// A fixture: folder/, its mnt/ and a VersionedFs there once mount_fs() was called.
class MountTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string missing = missing_for_mounts();
    if (!missing.empty()) {
      if (std::getenv("NETFS_SKIP_MOUNT_TESTS") != nullptr) {
        std::printf("SKIPPED: MountTest: %s\n", missing.c_str());
        GTEST_SKIP() << missing;
      }
      GTEST_FAIL() << missing << "; set NETFS_SKIP_MOUNT_TESTS=1 to do without";
    }
    std::array<char, 64> pattern{};
    std::snprintf(pattern.data(), pattern.size(), "/tmp/netfs-mount-test-XXXXXX");
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern.data();
    mount_point_ = folder_ + "/mnt";
    ASSERT_EQ(::mkdir(mount_point_.c_str(), 0755), 0);
  }

  void TearDown() override {
    if (folder_.empty()) return;
    if (fs_) fs_->let_reads_go(EIO);
    (void)unmount(mount_point_, UnmountMode::kForce);
    if (session_) session_->stop(soon());
    session_.reset();
    fs_.reset();
    channel_.reset();
    std::filesystem::remove_all(folder_);
  }

  MountOptions mount_options() const {
    return {.source = "test:/dir, with a comma", .mount_point = mount_point_, .queues = 2};
  }

  void mount_fs(Reading reading) {
    Result<std::vector<UniqueFd>> fds = mount_directly(mount_options());
    ASSERT_TRUE(fds.ok()) << fds.error().message();
    for (const UniqueFd& fd : fds.value()) raw_fds_.push_back(fd.get());
    channel_ = MUST(DeviceChannel::create(std::move(fds).value()));
    fs_ = std::make_unique<VersionedFs>(*channel_, reading);
    session_ = MUST(Session::create(*channel_, *fs_, {}, Clock::system()));
    session_->start();
    ASSERT_TRUE(session_->wait_negotiated(soon()).has_value());
  }

  // Everything anew for a successor, over copies of the descriptors, as after an exec; its file
  // system has the one version `path`, under the nodeid that the predecessor's first one had.
  void take_over(const std::string& path) {
    session_.reset();
    std::vector<UniqueFd> copies;
    for (const int fd : raw_fds_) copies.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    fs_.reset();
    channel_ = MUST(DeviceChannel::create(std::move(copies)));
    fs_ = std::make_unique<VersionedFs>(*channel_, Reading::kCached);
    fs_->publish(path);
  }

  std::string make_file(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << text;
    return folder_ + "/" + name;
  }
  [[nodiscard]] std::string file() const { return mount_point_ + "/file"; }
  [[nodiscard]] uint64_t issued(Opcode opcode) const {
    return session_->counters().ops[static_cast<size_t>(opcode)].count.issued.get();
  }

  std::string folder_;
  std::string mount_point_;
  std::vector<int> raw_fds_;  // those of the first channel
  std::unique_ptr<DeviceChannel> channel_;
  std::unique_ptr<VersionedFs> fs_;
  std::unique_ptr<Session> session_;
};

// The bytes of an open file, up to a megabyte from its start.
inline std::string bytes_in(const UniqueFd& fd) {
  std::string text(1 << 20, '\0');
  const ssize_t length = ::pread(fd.get(), text.data(), text.size(), 0);
  if (length < 0) return "errno " + std::to_string(errno);
  text.resize(static_cast<size_t>(length));
  return text;
}

}  // namespace netfs::fuse
