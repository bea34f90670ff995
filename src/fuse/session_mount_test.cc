// The life of a session on a real mount: unmount and stop with requests in flight, interrupts,
// re-sending to a successor, clones, invalidation, and the mount table's view.

#include <csignal>
#include <cstdio>
#include <sched.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/kill_process.h"
#include "fuse/connection.h"
#include "fuse/mount_table.h"
#include "fuse/mount_test_fs.h"
#include "fuse/notifier.h"
#include "sync/thread.h"

namespace netfs::fuse {
namespace {

// A thread that opens the file and reads 4 KiB; `code` is its errno, 0 when it read, -1 before.
class Reader {
 public:
  explicit Reader(const std::string& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), thread_("reader", [this] { run(); }) {}

  int join() {
    thread_.join();
    return code_;
  }

 private:
  void run() {
    std::array<char, 4096> buffer{};
    const ssize_t length = ::pread(fd_.get(), buffer.data(), buffer.size(), 0);
    code_ = length < 0 ? errno : 0;
    fd_.reset();
  }

  UniqueFd fd_;
  int code_ = -1;
  sync::Thread thread_;
};

TEST_F(MountTest, LazyUnmountWithARequestInFlightEndsOnceItIsAnswered) {
  mount_fs(Reading::kDirect);
  fs_->publish(make_file("v1", "text"));
  fs_->hold_reads();
  Reader reader(file());
  ASSERT_TRUE(fs_->wait_held(1));
  EXPECT_TRUE(unmount(mount_point_, UnmountMode::kPlain).is_error(EBUSY));
  ASSERT_TRUE(unmount(mount_point_, UnmountMode::kLazy).ok());
  EXPECT_TRUE(unmount(mount_point_, UnmountMode::kPlain).is_error(EINVAL));
  fs_->let_reads_go(ENODATA);
  EXPECT_EQ(reader.join(), ENODATA);
  EXPECT_TRUE(session_->wait(soon()));
  EXPECT_EQ(session_->counters().dropped_replies.get(), 0U);
}

TEST_F(MountTest, ForcedUnmountEndsAReadThatIsNeverAnswered) {
  mount_fs(Reading::kDirect);
  fs_->publish(make_file("v1", "text"));
  fs_->hold_reads();
  Reader reader(file());
  ASSERT_TRUE(fs_->wait_held(1));
  ASSERT_TRUE(unmount(mount_point_, UnmountMode::kForce).ok());
  EXPECT_EQ(reader.join(), ECONNABORTED);
  EXPECT_TRUE(session_->wait(soon()));
  fs_->let_reads_go(EIO);  // too late, and without harm
  EXPECT_GE(session_->counters().interrupted_away.get() + session_->counters().send_failures.get(),
            1U);
}

// Whoever holds a descriptor and reads no more from it.
TEST_F(MountTest, AConnectionThatIsAbortedEndsThoughItsDescriptorsAreOpen) {
  mount_fs(Reading::kDirect);
  fs_->publish(make_file("v1", "text"));
  fs_->hold_reads();
  const std::optional<unsigned> number = connection_number(mount_point_, mount_options().source);
  ASSERT_TRUE(number.has_value());
  EXPECT_FALSE(connection_number(mount_point_, "another").has_value());
  Reader reader(file());
  ASSERT_TRUE(fs_->wait_held(1));
  const Result<void> aborted = abort_connection(raw_fds_.front(), *number);
  ASSERT_TRUE(aborted.ok()) << aborted.error().message();
  EXPECT_EQ(reader.join(), ECONNABORTED);
  const UniqueFd again(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(again ? 0 : errno, ENOTCONN) << "it is still mounted";
}

// The kernel gives a number that has become free to the next one.
TEST_F(MountTest, WhoHasTheNumberOfAConnectionThatHasEndedIsNotAborted) {
  Result<std::vector<UniqueFd>> ended = mount_directly(mount_options());
  ASSERT_TRUE(ended.ok()) << ended.error().message();
  ASSERT_TRUE(unmount(mount_point_, UnmountMode::kForce).ok());
  mount_fs(Reading::kDirect);
  const std::optional<unsigned> number = connection_number(mount_point_, mount_options().source);
  ASSERT_TRUE(number.has_value());
  EXPECT_TRUE(abort_connection(ended.value().front().get(), *number).ok());
  fs_->publish(make_file("v1", "text"));
  EXPECT_EQ(::access(file().c_str(), F_OK), 0) << "the other one was ended";
}

TEST_F(MountTest, StopAnswersAPendingReadWhoseHandlerNeverDoes) {
  mount_fs(Reading::kDirect);
  fs_->publish(make_file("v1", "text"));
  fs_->hold_reads();
  Reader reader(file());
  ASSERT_TRUE(fs_->wait_held(1));
  ASSERT_EQ(session_->live_count(), 1U);
  EXPECT_EQ(session_->live()[0].opcode, Opcode::kRead);
  session_->stop(Deadline{MonoTime{}});
  EXPECT_EQ(session_->live_count(), 0U);
  // Nobody reads the descriptors any more: the last close lets the FLUSH of the reader's close go.
  fs_->let_reads_go(EIO);  // void: it was answered
  ASSERT_TRUE(unmount(mount_point_, UnmountMode::kForce).ok());
  EXPECT_EQ(reader.join(), ECONNABORTED);
}

TEST_F(MountTest, StopWakesAllReadersOfAnIdleMountAndASuccessorServesIt) {
  mount_fs(Reading::kCached);
  const Negotiated before = *session_->negotiated();
  session_->stop(soon());
  EXPECT_TRUE(session_->wait(soon()));
  take_over(make_file("v1", "text"));
  session_ = MUST(Session::resume(*channel_, *fs_, {}, Clock::system(), before));
  session_->start();
  const UniqueFd fd(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd) << errno;
  EXPECT_EQ(bytes_in(fd), "text");
}

// A predecessor that took a request with it is played by reading one off the descriptor.
TEST_F(MountTest, ASuccessorIsSentAgainWhatItsPredecessorLeftUnanswered) {
  mount_fs(Reading::kCached);
  const std::string path = make_file("v1", "text");
  fs_->publish(path);
  const Negotiated before = *session_->negotiated();
  ASSERT_TRUE(before.has(proto::kHasResend)) << "this kernel cannot re-send";
  UniqueFd opened(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(opened) << errno;
  session_->stop(soon());
  take_over(path);

  std::string text;
  sync::Thread reader("reader", [&] { text = bytes_in(opened); });
  std::vector<std::byte> lost((1 << 20) + 8192);
  const Result<std::span<const std::byte>> message = channel_->receive(0, lost);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(MUST(decode_request(message.value())).header.opcode, Opcode::kRead);

  session_ = MUST(Session::resume(*channel_, *fs_, {}, Clock::system(), before));
  session_->start();
  reader.join();
  EXPECT_EQ(text, "text");
  EXPECT_GE(fs_->resent_reads(), 1U);
}

TEST_F(MountTest, AnInterruptedReaderIsMadeKnownToTheHandler) {
  mount_fs(Reading::kDirect);
  fs_->publish(make_file("v1", "text"));
  fs_->hold_reads();
  const pid_t child = ::fork();
  if (child == 0) {
    const int fd = ::open(file().c_str(), O_RDONLY);
    char byte = 0;
    ::_exit(::read(fd, &byte, 1) < 0 ? 1 : 0);
  }
  ASSERT_TRUE(fs_->wait_held(1));
  kill_process(child, SIGKILL);
  EXPECT_TRUE(fs_->wait_interrupted());
  fs_->let_reads_go(EINTR);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
}

// Requests are read off each descriptor in turn and answered through it, and only through it.
TEST_F(MountTest, AnAnswerCountsOnlyThroughTheCloneThatBroughtItsRequest) {
  mount_fs(Reading::kCached);
  const std::string path = make_file("v1", "text");
  // The kernel knows the root from now on, so that each access is one LOOKUP.
  EXPECT_NE(::access((mount_point_ + "/absent").c_str(), F_OK), 0);
  session_->stop(soon());
  take_over(path);
  ASSERT_EQ(channel_->queue_count(), 2U);
  std::vector<std::byte> buffer((1 << 20) + 8192);
  for (unsigned queue = 0; queue < 2; ++queue) {
    int code = 0;
    const std::string name = mount_point_ + "/absent" + std::to_string(queue);
    sync::Thread asker("asker", [&] { code = ::access(name.c_str(), F_OK) == 0 ? 0 : errno; });
    const Result<std::span<const std::byte>> message = channel_->receive(queue, buffer);
    ASSERT_TRUE(message.ok());
    const Header header = MUST(decode_header(message.value()));
    EXPECT_EQ(header.opcode, Opcode::kLookup);
    proto::OutHeader out{sizeof out, -EPERM, header.unique};
    const iovec piece{&out, sizeof out};
    EXPECT_TRUE(channel_->send(1 - queue, {&piece, 1}).is_error(ENOENT));
    EXPECT_TRUE(channel_->send(queue, {&piece, 1}).ok());
    asker.join();
    EXPECT_EQ(code, EPERM);
  }
}

TEST_F(MountTest, InvalidationMakesTheKernelReadAgain) {
  mount_fs(Reading::kCached);
  const std::string path = make_file("v1", "before");
  fs_->publish(path);
  const UniqueFd fd(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(bytes_in(fd), "before");
  make_file("v1", "after!");
  EXPECT_EQ(bytes_in(fd), "before");  // from the page cache
  Notifier notifier(*channel_);
  ASSERT_TRUE(notifier.inval_inode(fs_->current(), {0, 0}));
  ASSERT_TRUE(notifier.drain(soon()));
  EXPECT_EQ(bytes_in(fd), "after!");
  ASSERT_TRUE(notifier.inval_entry(kRootNode, "never heard of"));
  ASSERT_TRUE(notifier.drain(soon()));
  EXPECT_EQ(notifier.counters().done.get(), 2U);
  EXPECT_EQ(notifier.counters().failed.get(), 0U);
  notifier.stop();
}

TEST_F(MountTest, TheMountTableShowsSourceTypeAndOptionsAsGiven) {
  mount_fs(Reading::kCached);
  const std::optional<MountEntry> entry = MUST(find_mount(mount_point_ + "/"));
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->source, "test:/dir, with a comma");
  EXPECT_EQ(entry->type, "fuse.netfs");
  EXPECT_NE(entry->options.find("nosuid"), std::string::npos);
  EXPECT_NE(entry->options.find("nodev"), std::string::npos);
  EXPECT_NE(entry->options.find("default_permissions"), std::string::npos);
  EXPECT_TRUE(check_mount_point(mount_point_).is_error(EBUSY));
  EXPECT_TRUE(mount_directly(mount_options()).is_error(EBUSY));
}

TEST_F(MountTest, ReadaheadOfTheMountCanBeRaised) {
  mount_fs(Reading::kCached);
  ASSERT_TRUE(set_readahead(mount_point_, 1024).ok());
  const std::string device = MUST(find_mount(mount_point_))->device;
  std::ifstream in("/sys/class/bdi/" + device + "/read_ahead_kb");
  int kib = 0;
  in >> kib;
  EXPECT_EQ(kib, 1024);
}

TEST_F(MountTest, TheHelperMountsAndUnmountsAsAnOrdinaryUserWould) {
  MountOptions options = mount_options();
  options.source = R"(odd, so\urce)";
  Result<std::vector<UniqueFd>> fds = mount_by_helper(options);
  if (fds.is_error(ENOEXEC)) {
    std::printf("SKIPPED: %s\n", fds.error().message().c_str());
    GTEST_SKIP() << fds.error().message();
  }
  ASSERT_TRUE(fds.ok()) << fds.error().message();
  EXPECT_EQ(MUST(find_mount(mount_point_))->source, R"(odd, so\urce)");
  channel_ = MUST(DeviceChannel::create(std::move(fds).value()));
  fs_ = std::make_unique<VersionedFs>(*channel_, Reading::kCached);
  session_ = MUST(Session::create(*channel_, *fs_, {}, Clock::system()));
  session_->start();
  fs_->publish(make_file("v1", "text"));
  EXPECT_EQ(bytes_in(UniqueFd(::open(file().c_str(), O_RDONLY | O_CLOEXEC))), "text");
  EXPECT_TRUE(unmount(mount_point_, UnmountMode::kLazy).ok());
  EXPECT_TRUE(session_->wait(soon()));
}

// Where /dev/fuse is root's only, unlike on most systems: one for everybody, in a mount namespace
// of this process's own.
bool open_device_to_all(const std::string& folder) {
  const std::string device = folder + "/fuse";
  return ::unshare(CLONE_NEWNS) == 0 &&
         ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mknod(device.c_str(), S_IFCHR | 0666, makedev(10, 229)) == 0 &&
         ::chmod(device.c_str(), 0666) == 0 &&
         ::mount(device.c_str(), "/dev/fuse", nullptr, MS_BIND, nullptr) == 0;
}

// The whole of it in a process of user nobody: mount, serve, read, unmount.
TEST_F(MountTest, AnOrdinaryUserMountsReadsAndUnmountsThroughTheHelper) {
  if (std::system("command -v fusermount3 >/dev/null") != 0) {
    std::printf("SKIPPED: fusermount3 is not installed\n");
    GTEST_SKIP() << "fusermount3 is not installed";
  }
  constexpr uid_t kNobody = 65534;
  const std::string path = make_file("v1", "text");
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  ASSERT_EQ(::chown(mount_point_.c_str(), kNobody, kNobody), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (!open_device_to_all(folder_)) ::_exit(7);
    if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(2);
    Result<std::vector<UniqueFd>> fds = mount(mount_options());
    if (!fds.ok()) {
      std::fprintf(stderr, "%s\n", fds.error().message().c_str());
      ::_exit(3);
    }
    auto channel = MUST(DeviceChannel::create(std::move(fds).value()));
    VersionedFs fs(*channel, Reading::kCached);
    fs.publish(path);
    auto session = MUST(Session::create(*channel, fs, {}, Clock::system()));
    session->start();
    const std::string text = bytes_in(UniqueFd(::open(file().c_str(), O_RDONLY | O_CLOEXEC)));
    if (text != "text") ::_exit(4);
    if (!unmount(mount_point_, UnmountMode::kLazy).ok()) ::_exit(5);
    const bool ended = session->wait(soon());
    session->stop(soon());
    ::_exit(ended ? 0 : 6);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// A predecessor that died between reading INIT and answering it: nothing is negotiated yet, so the
// successor is made by create(), after send_resend().
TEST_F(MountTest, AnInitThatThePredecessorTookWithItComesAgain) {
  Result<std::vector<UniqueFd>> fds = mount_directly(mount_options());
  ASSERT_TRUE(fds.ok()) << fds.error().message();
  channel_ = MUST(DeviceChannel::create(std::move(fds).value()));
  std::vector<std::byte> lost((1 << 20) + 8192);
  const std::span<const std::byte> message = MUST(channel_->receive(0, lost));
  ASSERT_EQ(MUST(decode_header(message)).opcode, Opcode::kInit);

  ASSERT_TRUE(send_resend(*channel_).ok());
  fs_ = std::make_unique<VersionedFs>(*channel_, Reading::kCached);
  session_ = MUST(Session::create(*channel_, *fs_, {}, Clock::system()));
  session_->start();
  ASSERT_TRUE(session_->wait_negotiated(soon()).has_value());
  fs_->publish(make_file("v1", "text"));
  EXPECT_EQ(bytes_in(UniqueFd(::open(file().c_str(), O_RDONLY | O_CLOEXEC))), "text");
}

TEST_F(MountTest, HelperTroubleIsOneLineWithItsReason) {
  const std::string busy = folder_ + "/missing";
  const Result<std::vector<UniqueFd>> fds = mount_by_helper({.source = "s", .mount_point = busy});
  ASSERT_TRUE(fds.is_error(ENOENT));
  EXPECT_NE(fds.error().message().find(busy), std::string::npos);
}

}  // namespace
}  // namespace netfs::fuse
