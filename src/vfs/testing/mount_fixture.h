#pragma once
// MountFixture: a file system over a test origin and a test library, asked by a pretended kernel.
//
// Requests are sent through one queue, so they are handled in the order in which they are sent.
// The clock of the file system stands still until a test advances it.
//
//   TEST_F(Open, ...) {
//     write("file", "text");
//     start();
//     const proto::EntryOut entry = look_up("file");

#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/manual_clock.h"
#include "fuse/fake_kernel.h"
#include "fuse/session.h"
#include "vfs/file_system.h"
#include "vfs/testing/test_library.h"
#include "vfs/testing/test_origin.h"

namespace netfs::vfs {

using fuse::NodeId;
using fuse::Opcode;
namespace proto = fuse::proto;

class MountFixture : public testing::Test {
 protected:
  using Answer = fuse::FakeKernel::Answer;

  struct Listed {
    std::string name;
    proto::EntryOut entry{};
    proto::Dirent dirent{};
  };

  explicit MountFixture(SimulatedOrigin::Options tree = {}) : tree_(std::move(tree)) {}
  ~MountFixture() override { end(); }

  // What files are read through.
  virtual Library& library() { return library_; }
  // When the file system is stopped, before it goes: what it wrote may still be landing, and tells
  // it.
  virtual void close_library() {}
  // What the file system sees of the origin, and its time.
  virtual Origin& origin() { return origin_; }
  virtual const Clock& clock() { return clock_; }
  // Where descriptors are kept for a process after this one, and names.
  virtual DescriptorKeeper* keeper() { return nullptr; }
  virtual NamesStore* names() { return nullptr; }

  // A file of the origin, whose versions the library can read.
  void write(const std::string& path, const std::string& bytes) {
    tree_.add_file(path, bytes);
    publish(path, bytes);
  }
  // New bytes: another version of the same file.
  void rewrite(const std::string& path, const std::string& bytes) {
    tree_.write(path, bytes);
    publish(path, bytes);
  }

  void start(Options options = {}) {
    options_ = std::move(options);
    if (options_.epoch == 0) options_.epoch = 7;
    Result<std::unique_ptr<FileSystem>> made =
        FileSystem::create({.origin = origin(),
                            .library = library(),
                            .options = options_,
                            .clock = clock(),
                            .names = names(),
                            .memory = left_,
                            .memory_is_lost = left_is_lost_,
                            .origin_is_away = origin_is_away_,
                            .keeper = keeper()});
    ASSERT_TRUE(made.ok()) << made.error().message();
    fs_ = std::move(made).value();
    kernel_ = fuse::FakeKernel::create(1);
    backing_ = std::make_unique<fuse::BackingIds>(kernel_->channel(), backing_idle_max_);
    notifier_ = std::make_unique<fuse::Notifier>(kernel_->channel());
    fs_->attach(backing_.get(), notifier_.get());
    session_ =
        MUST(fuse::Session::create(kernel_->channel(), *fs_, session_options_, Clock::system()));
    session_->start();
    ASSERT_TRUE(kernel_->init().has_value());
  }

  // A process after the one that was started: that has died, and left what it leaves.
  void succeed() {
    die();
    follow();
  }
  void die() {
    UniqueFd left(::dup(fs_->memory().fd()));
    end();
    left_ = MUST(ArenaMemory::adopt(std::move(left), InodeTable::kLayout));
  }
  void follow() {
    ++options_.epoch;
    MountFixture::start(options_);
  }

  void end() {
    origin_.release();
    library_.release_reads();
    if (notifier_) notifier_->stop();
    if (session_) session_->stop(Deadline::after(Clock::system(), std::chrono::seconds(60)));
    if (fs_) fs_->stop();
    close_library();
    if (session_) {
      EXPECT_EQ(session_->counters().dropped_replies.get(), 0U);
      EXPECT_EQ(kernel_->protocol_errors(), 0U);
    }
    session_.reset();
    fs_.reset();
    notifier_.reset();
    backing_.reset();
    kernel_.reset();
  }

  // The answer to a request; error EPROTO when there came none.
  Answer await(uint64_t unique) {
    std::optional<Answer> answer = kernel_->await(unique);
    EXPECT_TRUE(answer.has_value());
    return answer ? std::move(*answer) : Answer{.error = EPROTO};
  }
  template <class In>
  Answer call(Opcode opcode, NodeId node, const In& in) {
    return await(kernel_->send(opcode, node, in));
  }
  Answer call_name(Opcode opcode, NodeId node, std::string_view name) {
    return await(kernel_->send_name(opcode, node, name));
  }

  proto::EntryOut look_up(std::string_view name, NodeId parent = fuse::kRootNode) {
    const Answer answer = call_name(Opcode::kLookup, parent, name);
    EXPECT_EQ(answer.error, 0) << name;
    return answer.as<proto::EntryOut>();
  }
  int look_up_error(std::string_view name, NodeId parent = fuse::kRootNode) {
    const Answer answer = call_name(Opcode::kLookup, parent, name);
    if (answer.error != 0) return answer.error;
    return answer.as<proto::EntryOut>().nodeid == 0 ? ENOENT : 0;
  }
  Answer get_attributes(NodeId node) { return call(Opcode::kGetattr, node, proto::GetattrIn{}); }
  Answer open(NodeId node) { return call(Opcode::kOpen, node, proto::OpenIn{}); }
  proto::OpenOut opened(NodeId node) {
    const Answer answer = open(node);
    EXPECT_EQ(answer.error, 0);
    return answer.as<proto::OpenOut>();
  }
  void close(NodeId node, uint64_t handle) {
    EXPECT_EQ(call(Opcode::kRelease, node, proto::ReleaseIn{.fh = handle}).error, 0);
  }
  uint64_t send_read(NodeId node, uint64_t handle, uint64_t offset = 0, uint32_t size = 4096) {
    return kernel_->send(Opcode::kRead, node,
                         proto::ReadIn{.fh = handle, .offset = offset, .size = size});
  }
  // The bytes, or "errno N".
  std::string read(NodeId node, uint64_t handle, uint64_t offset = 0, uint32_t size = 4096) {
    const Answer answer = await(send_read(node, handle, offset, size));
    if (answer.error != 0) return "errno " + std::to_string(answer.error);
    return std::string(answer.text());
  }

  Answer open_directory(NodeId node) { return call(Opcode::kOpendir, node, proto::OpenIn{}); }
  Answer read_directory(NodeId node, uint64_t handle, uint64_t offset, uint32_t size = 65536) {
    return call(Opcode::kReaddirplus, node,
                proto::ReadIn{.fh = handle, .offset = offset, .size = size});
  }
  static std::vector<Listed> listed_in(const Answer& answer) {
    std::vector<Listed> all;
    for (size_t at = 0; at < answer.body.size();) {
      all.push_back(listed_at(answer, at));
      at += (sizeof(proto::Direntplus) + all.back().dirent.namelen + 7) / 8 * 8;
    }
    return all;
  }
  // By READDIRPLUS to its end, in answers of at most `size` bytes.
  std::vector<Listed> list(NodeId node, uint64_t handle, uint32_t size = 65536,
                           uint64_t offset = 0) {
    std::vector<Listed> all;
    for (;;) {
      const Answer answer = read_directory(node, handle, offset, size);
      EXPECT_EQ(answer.error, 0);
      if (answer.error != 0 || answer.body.empty()) return all;
      for (Listed& one : listed_in(answer)) {
        offset = one.dirent.off;
        all.push_back(std::move(one));
      }
    }
  }
  std::vector<Listed> list(NodeId node = fuse::kRootNode) {
    const Answer opened = open_directory(node);
    EXPECT_EQ(opened.error, 0);
    const uint64_t handle = opened.as<proto::OpenOut>().fh;
    std::vector<Listed> all = list(node, handle);
    EXPECT_EQ(call(Opcode::kReleasedir, node, proto::ReleaseIn{.fh = handle}).error, 0);
    return all;
  }
  // Of a listing, the names but "." and "..".
  static std::vector<std::string> names_of(const std::vector<Listed>& listed) {
    std::vector<std::string> names;
    for (const Listed& one : listed) {
      if (one.name != "." && one.name != "..") names.push_back(one.name);
    }
    return names;
  }

  // For what happens on another thread and tells nobody; false after a long time.
  template <class Condition>
  static bool wait_for(Condition condition) {
    const Deadline deadline = Deadline::after(Clock::system(), fuse::FakeKernel::kPatience);
    sync::Mutex mutex(kTestWaitLock);
    sync::CondVar pause;
    sync::MutexLock lock(mutex);
    while (!condition()) {
      const MonoTime now = Clock::system().now();
      if (deadline.passed(now)) return false;
      pause.wait_until(mutex, now + std::chrono::milliseconds(1));
    }
    return true;
  }

  static uint64_t not_handed_out(const Counters& counters, NotHandedOut why) {
    return counters.not_handed_out[static_cast<size_t>(why)].get();
  }

  ManualClock clock_;
  BufferPool pool_{64 << 20, 1 << 20};  // a thread of the tree's may let go of a buffer last
  SimulatedOrigin tree_;
  TestOrigin origin_{tree_};
  TestLibrary library_{pool_};
  Options options_;
  fuse::SessionOptions session_options_;
  size_t backing_idle_max_ = fuse::BackingIds::kIdleMax;
  std::unique_ptr<fuse::FakeKernel> kernel_;
  std::unique_ptr<fuse::BackingIds> backing_;
  std::unique_ptr<fuse::Notifier> notifier_;
  std::unique_ptr<FileSystem> fs_;
  std::unique_ptr<fuse::Session> session_;
  Ref<ArenaMemory> left_;  // by a process before this one
  bool left_is_lost_ = false;
  bool origin_is_away_ = false;

 private:
  void publish(const std::string& path, const std::string& bytes) {
    const NodeInfo info = MUST(tree_.stat(path, Deadline::never()));
    library_.put(info.validator, bytes);
  }

  static Listed listed_at(const Answer& answer, size_t at) {
    Listed one;
    proto::Direntplus head{};
    std::memcpy(&head, answer.body.data() + at, sizeof head);
    one.entry = head.entry_out;
    one.dirent = head.dirent;
    one.name.assign(reinterpret_cast<const char*>(answer.body.data()) + at + sizeof head,
                    head.dirent.namelen);
    return one;
  }
};

}  // namespace netfs::vfs
