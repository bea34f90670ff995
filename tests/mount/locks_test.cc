// Goal: locks of programs on a mount of a folder or a CephFS are those of everybody there: two
// mounts and a program beside them exclude each other, by fcntl(2), flock(2) and locks of open file
// descriptions; waits end as on a local disk; who gets a lock sees what the one before has written.

#include <csignal>
#include <poll.h>
#include <sys/file.h>
#include <sys/syscall.h>

#include "base/kill_process.h"
#include "tests/mount/write_fixture.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

struct flock range(short type, off_t start = 0, off_t length = 0) {
  struct flock made {};
  made.l_type = type;
  made.l_whence = SEEK_SET;
  made.l_start = start;
  made.l_len = length;
  return made;
}

int set(int fd, int command, short type, off_t start = 0, off_t length = 0) {
  struct flock wanted = range(type, start, length);
  return code(::fcntl(fd, command, &wanted));
}

// Another process that works on one open file; it ends with the test.
class Other {
 public:
  explicit Other(const std::string& path, int flags = O_RDWR) {
    int asks[2];
    int answers[2];
    EXPECT_EQ(::pipe2(asks, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(answers, O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(asks[1]);
      ::close(answers[0]);
      serve(path, flags, asks[0], answers[1]);
    }
    ::close(asks[0]);
    ::close(answers[1]);
    ask_ = UniqueFd(asks[1]);
    answer_ = UniqueFd(answers[0]);
    EXPECT_EQ(end(), 0) << "it is open";
  }
  ~Other() { signal(SIGKILL); }
  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;

  struct Call {
    int command = 0;  // of fcntl(2); 0: flock(2), -1: close
    short type = 0;   // or flock(2)'s operation
    off_t start = 0;
    off_t length = 0;
  };
  void begin(const Call& call) const {
    EXPECT_EQ(::write(ask_.get(), &call, sizeof call), static_cast<ssize_t>(sizeof call));
  }
  // The errno of the call that was begun.
  [[nodiscard]] int end() const {
    int answer = EPROTO;
    return ::read(answer_.get(), &answer, sizeof answer) == sizeof answer ? answer : EPROTO;
  }
  [[nodiscard]] int call(const Call& one) const {
    begin(one);
    return end();
  }
  // Whether it has answered within a quarter of a second.
  [[nodiscard]] bool answers_soon() const {
    pollfd answer{.fd = answer_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&answer, 1, 250) > 0;
  }
  // Once it stands in the call that was begun: before that a signal would end no wait.
  [[nodiscard]] bool stands_in_it() const {
    const std::string file = "/proc/" + std::to_string(pid_) + "/syscall";
    const auto number = [&] { return std::strtol(read_text(file).c_str(), nullptr, 10); };
    return wait_until([&] { return number() == SYS_fcntl || number() == SYS_flock; }, kBound);
  }
  void signal(int number) {
    if (pid_ <= 0) return;
    EXPECT_EQ(kill_process(pid_, number), 0);
    if (number != SIGKILL) return;
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  [[noreturn]] static void serve(const std::string& path, int flags, int asks, int answers) {
    struct sigaction noted {};
    noted.sa_handler = [](int) {};  // without SA_RESTART
    ::sigaction(SIGUSR1, &noted, nullptr);
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
    int opened = fd < 0 ? errno : 0;
    if (::write(answers, &opened, sizeof opened) != sizeof opened) ::_exit(1);
    Call call;
    while (::read(asks, &call, sizeof call) == sizeof call) {
      int answer = 0;
      if (call.command == 0) {
        answer = code(::flock(fd, call.type));
      } else if (call.command < 0) {
        answer = code(::close(fd));
      } else {
        answer = set(fd, call.command, call.type, call.start, call.length);
      }
      if (::write(answers, &answer, sizeof answer) != sizeof answer) break;
    }
    ::_exit(0);
  }

  pid_t pid_ = 0;
  UniqueFd ask_;
  UniqueFd answer_;
};

class Locks : public WritableMount {
 protected:
  void SetUp() override {
    WritableMount::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(put(there("f"), "0123456789"), 0);
    mount_it();
    second_ = mount_of(source_, {is_back() ? "--write=through" : how()}, "other");
    ASSERT_TRUE(second_->ready());
  }
  [[nodiscard]] std::string at_second(const std::string& name) const {
    return second_->path() + "/" + name;
  }
  // By which ways to the file a lock is held, and by which it is asked for.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> ways() const {
    return {{here("f"), here("f")},
            {here("f"), at_second("f")},
            {here("f"), there("f")},
            {there("f"), here("f")}};
  }

  std::unique_ptr<NetfsMount> second_;
};
constexpr off_t kSome = 4;

TEST_P(Locks, RangesExcludeEachOtherWhicheverWayTheyAreTaken) {
  for (const auto& [one, two] : ways()) {
    SCOPED_TRACE(one + " and " + two);
    const Other holder(one);
    const Other asks(two);
    EXPECT_EQ(holder.call({F_SETLK, F_WRLCK, 0, kSome}), 0);
    EXPECT_EQ(asks.call({F_SETLK, F_RDLCK, kSome - 1, 1}), EAGAIN);
    EXPECT_EQ(asks.call({F_SETLK, F_WRLCK, kSome, 0}), 0);
    // Less than it was; the middle given back; more than it was.
    EXPECT_EQ(holder.call({F_SETLK, F_RDLCK, 0, kSome}), 0);
    EXPECT_EQ(asks.call({F_SETLK, F_RDLCK, 0, 1}), 0);
    EXPECT_EQ(asks.call({F_SETLK, F_WRLCK, 0, 1}), EAGAIN);
    EXPECT_EQ(holder.call({F_SETLK, F_UNLCK, 1, 1}), 0);
    EXPECT_EQ(asks.call({F_SETLK, F_WRLCK, 1, 1}), 0);
    EXPECT_EQ(asks.call({F_SETLK, F_WRLCK, 2, 1}), EAGAIN);
    EXPECT_EQ(holder.call({F_SETLK, F_WRLCK, 2, 1}), 0);
    EXPECT_EQ(asks.call({F_SETLK, F_RDLCK, 2, 1}), EAGAIN);
  }
}

TEST_P(Locks, WholeFilesExcludeEachOtherWhicheverWayTheyAreTaken) {
  for (const auto& [one, two] : ways()) {
    SCOPED_TRACE(one + " and " + two);
    const Other holder(one, O_RDONLY);
    const Other asks(two, O_RDONLY);
    EXPECT_EQ(holder.call({0, LOCK_EX}), 0);
    EXPECT_EQ(asks.call({0, LOCK_SH | LOCK_NB}), EWOULDBLOCK);
    EXPECT_EQ(holder.call({0, LOCK_SH}), 0);
    EXPECT_EQ(asks.call({0, LOCK_SH | LOCK_NB}), 0);
    EXPECT_EQ(holder.call({0, LOCK_EX | LOCK_NB}), EWOULDBLOCK);
    EXPECT_EQ(asks.call({0, LOCK_UN}), 0);
    EXPECT_EQ(holder.call({0, LOCK_EX | LOCK_NB}), 0);
  }
}

TEST_P(Locks, DescriptionsOfOneProcessExcludeEachOther) {
  for (const auto& [one, two] : ways()) {
    SCOPED_TRACE(one + " and " + two);
    UniqueFd holder = open_file(one, O_RDWR);
    const UniqueFd asks = open_file(two, O_RDWR);
    // The last close of the round before is told behind its back.
    EXPECT_TRUE(
        wait_until([&] { return set(holder.get(), F_OFD_SETLK, F_WRLCK, 2, 2) == 0; }, kBound));
    EXPECT_EQ(set(asks.get(), F_OFD_SETLK, F_RDLCK, 3, 1), EAGAIN);
    EXPECT_EQ(set(asks.get(), F_OFD_SETLK, F_RDLCK, 4, 1), 0);
    // Closing another descriptor of it gives back a process's own locks, but not these.
    { const UniqueFd again = open_file(one, O_RDWR); }
    EXPECT_EQ(set(asks.get(), F_OFD_SETLK, F_RDLCK, 3, 1), EAGAIN);
    holder.reset();
    EXPECT_TRUE(
        wait_until([&] { return set(asks.get(), F_OFD_SETLK, F_RDLCK, 3, 1) == 0; }, kBound));
  }
}

TEST_P(Locks, WhoHoldsWhatIsInTheWayIsTold) {
  const Other holder(here("f"));
  EXPECT_EQ(holder.call({F_SETLK, F_WRLCK, 3, 4}), 0);
  for (const std::string& way : {here("f"), at_second("f"), there("f")}) {
    SCOPED_TRACE(way);
    const UniqueFd fd = open_file(way, O_RDWR);
    struct flock found = range(F_RDLCK);
    ASSERT_EQ(::fcntl(fd.get(), F_GETLK, &found), 0);
    EXPECT_EQ(found.l_type, F_WRLCK);
    EXPECT_EQ(found.l_start, 3);
    EXPECT_EQ(found.l_len, 4);
    found = range(F_WRLCK, 0, 3);
    ASSERT_EQ(::fcntl(fd.get(), F_GETLK, &found), 0);
    EXPECT_EQ(found.l_type, F_UNLCK);
  }
}

TEST_P(Locks, WhoWaitsGetsItWhenItIsGivenBack) {
  for (const auto& [one, two] : ways()) {
    SCOPED_TRACE(one + " and " + two);
    const Other holder(one);
    const Other waits(two);
    for (const bool whole : {false, true}) {
      const Other::Call lock =
          whole ? Other::Call{0, LOCK_EX} : Other::Call{F_SETLKW, F_WRLCK, 0, 0};
      const Other::Call unlock =
          whole ? Other::Call{0, LOCK_UN} : Other::Call{F_SETLK, F_UNLCK, 0, 0};
      EXPECT_EQ(holder.call(lock), 0);
      waits.begin(lock);
      EXPECT_FALSE(waits.answers_soon());
      EXPECT_EQ(holder.call(unlock), 0);
      EXPECT_EQ(waits.end(), 0);
      EXPECT_EQ(waits.call(unlock), 0);
    }
  }
}

TEST_P(Locks, ASignalEndsTheWait) {
  for (const auto& [one, two] : ways()) {
    SCOPED_TRACE(one + " and " + two);
    const Other holder(one);
    Other waits(two);
    EXPECT_EQ(holder.call({F_SETLK, F_WRLCK}), 0);
    waits.begin({F_SETLKW, F_WRLCK});
    EXPECT_FALSE(waits.answers_soon());
    ASSERT_TRUE(waits.stands_in_it());
    waits.signal(SIGUSR1);
    EXPECT_EQ(waits.end(), EINTR);
    EXPECT_EQ(holder.call({F_SETLK, F_UNLCK}), 0);
    EXPECT_EQ(holder.call({F_SETLK, F_WRLCK}), 0) << "it was not taken behind that";
  }
}

TEST_P(Locks, AWaitThatWouldNeverEndIsEdeadlk) {
  const Other one(here("f"));
  const Other two(here("f"));
  EXPECT_EQ(one.call({F_SETLK, F_WRLCK, 0, 1}), 0);
  EXPECT_EQ(two.call({F_SETLK, F_WRLCK, 1, 1}), 0);
  one.begin({F_SETLKW, F_WRLCK, 1, 1});
  EXPECT_FALSE(one.answers_soon());
  const auto one_waits = [&] {
    return status_object(mount_->status(), "locks").value("waiting", 0) == 1;
  };
  ASSERT_TRUE(wait_until(one_waits, std::chrono::seconds(60)));
  EXPECT_EQ(two.call({F_SETLKW, F_WRLCK, 0, 1}), EDEADLK);
  EXPECT_EQ(two.call({F_SETLK, F_UNLCK}), 0);
  EXPECT_EQ(one.end(), 0);
}

TEST_P(Locks, ClosingAndDyingGiveBack) {
  for (const auto& [one, two] : ways()) {
    SCOPED_TRACE(one + " and " + two);
    for (const bool dies : {false, true}) {
      Other holder(one);
      EXPECT_EQ(holder.call({F_SETLK, F_WRLCK}), 0);
      EXPECT_EQ(holder.call({0, LOCK_EX}), 0);
      const Other waits(two);
      waits.begin({F_SETLKW, F_WRLCK});
      EXPECT_FALSE(waits.answers_soon());
      if (dies) {
        holder.signal(SIGKILL);
      } else {
        EXPECT_EQ(holder.call({-1}), 0);
      }
      EXPECT_EQ(waits.end(), 0);
      EXPECT_EQ(waits.call({0, LOCK_EX}), 0);
    }
  }
}

// A counter in a file that processes of both mounts and beside them count up under a lock.
TEST_P(Locks, WhoOnlyReadsSeesUnderHisLockWhatOthersWrote) {
  ASSERT_EQ(put(there("r"), "0000000"), 0);
  const UniqueFd reads = open_file(here("r"), O_RDONLY);
  const UniqueFd writes = open_file(there("r"), O_RDWR);
  EXPECT_EQ(bytes_at(reads.get(), 0, 7), "0000000");
  for (int round = 1; round <= 20; ++round) {
    char text[32];
    std::snprintf(text, sizeof text, "%07d", round);
    ASSERT_EQ(::pwrite(writes.get(), text, 7, 0), 7);
    const int locked = code(::flock(reads.get(), LOCK_SH));
    // Behind a journal files have no identity: what others wrote is another file.
    if (is_back()) {
      EXPECT_EQ(locked, ESTALE);
      return;
    }
    ASSERT_EQ(locked, 0) << round;
    EXPECT_EQ(bytes_at(reads.get(), 0, 7), text);
    ASSERT_EQ(code(::flock(reads.get(), LOCK_UN)), 0);
  }
}

TEST_P(Locks, WhoGetsALockSeesWhatTheOneBeforeHasWritten) {
  if (is_back()) {
    std::printf("SKIPPED: by back what is written under a lock is uploaded later\n");
    GTEST_SKIP();
  }
  constexpr int kRounds = 60;
  const std::string beside = is_ceph() ? at_second("n") : there("n");  // ceph-fuse reads old pages
  const std::vector<std::string> ways = {here("n"), here("n"), at_second("n"), beside};
  for (const bool whole : {false, true}) {
    ASSERT_EQ(put(there("n"), "0000000"), 0);
    std::vector<pid_t> children;
    // Nobody begins before all have opened it.
    int ready[2];
    int go[2];
    ASSERT_EQ(::pipe2(ready, O_CLOEXEC) + ::pipe2(go, O_CLOEXEC), 0);
    for (const std::string& way : ways) {
      const pid_t child = ::fork();
      if (child != 0) {
        children.push_back(child);
        continue;
      }
      const UniqueFd fd = open_file(way, O_RDWR);
      if (!fd) ::_exit(errno);
      char letter = 'x';
      ::close(go[1]);
      if (::write(ready[1], &letter, 1) != 1 || ::read(go[0], &letter, 1) != 0) ::_exit(202);
      for (int round = 0; round < kRounds; ++round) {
        const int locked =
            whole ? code(::flock(fd.get(), LOCK_EX)) : set(fd.get(), F_SETLKW, F_WRLCK);
        if (locked != 0) ::_exit(locked);
        const long before = std::strtol(bytes_at(fd.get(), 0, 7).c_str(), nullptr, 10);
        char text[32];
        std::snprintf(text, sizeof text, "%07ld", before + 1);
        if (::pwrite(fd.get(), text, 7, 0) != 7) ::_exit(200);
        const int unlocked =
            whole ? code(::flock(fd.get(), LOCK_UN)) : set(fd.get(), F_SETLK, F_UNLCK);
        if (unlocked != 0) ::_exit(201);
      }
      ::_exit(0);
    }
    ::close(ready[1]);
    char letter = 'x';
    for (size_t i = 0; i < ways.size(); ++i) EXPECT_EQ(::read(ready[0], &letter, 1), 1);
    for (const int fd : {ready[0], go[0], go[1]}) ::close(fd);
    for (const pid_t child : children) {
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      EXPECT_EQ(status, 0);
    }
    EXPECT_EQ(std::strtol(netfs::test::whole(there("n")).c_str(), nullptr, 10),
              kRounds * static_cast<long>(ways.size()));
  }
}

TEST_P(Locks, AFileThatIsRenamedOrRemovedIsLockedOn) {
  const Other holder(here("f"));
  const Other waits(here("f"));
  EXPECT_EQ(::rename(here("f").c_str(), here("g").c_str()), 0);
  EXPECT_EQ(holder.call({F_SETLK, F_WRLCK}), 0);
  waits.begin({F_SETLKW, F_WRLCK});
  EXPECT_FALSE(waits.answers_soon());
  EXPECT_EQ(::rename(here("g").c_str(), here("h").c_str()), 0);
  EXPECT_EQ(holder.call({F_SETLK, F_UNLCK}), 0);
  EXPECT_EQ(waits.end(), 0);
  if (is_back()) return;  // one that nobody else can see is not locked there
  EXPECT_EQ(::unlink(here("h").c_str()), 0);
  EXPECT_EQ(holder.call({F_SETLK, F_RDLCK}), EAGAIN);
  EXPECT_EQ(waits.call({F_SETLK, F_UNLCK}), 0);
  EXPECT_EQ(holder.call({F_SETLK, F_RDLCK}), 0);
}

TEST_P(Locks, AnUnmountWithSomebodyWaitingEnds) {
  const Other holder(there("f"));
  EXPECT_EQ(holder.call({F_SETLK, F_WRLCK}), 0);
  const Other waits(here("f"));
  waits.begin({F_SETLKW, F_WRLCK});
  EXPECT_FALSE(waits.answers_soon());
  ASSERT_TRUE(waits.stands_in_it());
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(kill_process(mount_->supervisor(), SIGTERM), 0);
  EXPECT_NE(waits.end(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(30));
}

INSTANTIATE_TEST_SUITE_P(Origins, Locks,
                         testing::Values("file", "file_close", "file_back", "ceph_close"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace netfs::test
