#include "tests/model/one_file.h"

#include <algorithm>
#include <cstdio>
#include <linux/falloc.h>
#include <sys/mman.h>

#include "base/kill_process.h"
#include "tests/support/wait.h"

namespace netfs::test {

void OneFile::begin() {
  random_.seed(test_seed());
  mount_it();
  scratch_ = UniqueFd(::memfd_create("scratch", MFD_CLOEXEC));
  ASSERT_TRUE(scratch_);
  void* memory = nullptr;
  ASSERT_EQ(::posix_memalign(&memory, kDirectUnit, kFileBytesMax), 0);
  aligned_.reset(static_cast<char*>(memory));
  open_anew();
}

void OneFile::TearDown() {
  killer_.reset();
  if (!HasFailure()) return;
  for (const std::string& line : history_) std::printf("%s\n", line.c_str());
  if (mount_) std::printf("%s\n", mount_->log().c_str());
}

void OneFile::expect_all_of_it() {
  run_for(run_time());
  if (HasFailure()) return;
  sync_it();
  ASSERT_TRUE(bytes_at(other_.get(), 0, kFileBytesMax) == want_);
  close_it();
  close_all();
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
  expect_at_origin();
  mount_it();
  EXPECT_TRUE(whole(here("f")) == want_) << "after another mount";
  EXPECT_EQ(list_names(source_).value(), std::vector<std::string>{"f"}) << "and nothing else";
}

void OneFile::run_for(std::chrono::seconds time) {
  const MonoTime until = Clock::system().now() + time;
  plan_kill();
  while (!HasFailure() && Clock::system().now() < until) {
    if (kills_wanted_ && Clock::system().now() > next_kill_) begin_kill();
    step();
    if (lost_ && !HasFailure()) recover();
  }
  if (HasFailure() || killed_ == 0) return;
  recover();
  std::printf("killed %u times, %u of them in a call\n", killed_, failed_calls_);
}

void OneFile::sync_it() {
  note("sync");
  if (!went(code(random_() % 2 == 0 ? ::fsync(fd_.get()) : ::fdatasync(fd_.get())))) return;
  doubt_.settle();
  if (is_back()) bring();
  if (!lost_) expect_at_origin();
}

void OneFile::close_it() {
  note("close");
  for (UniqueFd* fd : {&fd_, &other_, &direct_}) {
    if (*fd && !went(code(::close(fd->release())))) return;
  }
  if (!is_back()) {
    doubt_.settle();
    if (!killed_since_open()) expect_at_origin();
  }
  if (killed_since_open()) {
    lost_ = true;
    return;
  }
  ASSERT_EQ(stat_of(here("f")).st_size, static_cast<off_t>(want_.size()));
  open_anew();
}

bool OneFile::went(int error) {
  if (error == 0) return true;
  EXPECT_TRUE(killed_since_open() && (error == ESTALE || error == EIO || error == EFAULT))
      << strerror(error);
  note(std::string("  failed: ") + strerror(error));
  lost_ = true;
  ++failed_calls_;
  return false;
}

void OneFile::open_anew() {
  killed_at_open_ = killed_;
  fd_ = open_file(here("f"), O_RDWR | O_CREAT);
  if (!went(fd_ ? 0 : errno)) return;
  other_ = open_file(here("f"), O_RDONLY);
  if (!went(other_ ? 0 : errno)) return;
  direct_ = open_file(here("f"), O_RDWR | O_DIRECT);
  (void)went(direct_ ? 0 : errno);
}

void OneFile::bring() {
  Finished synced;
  const auto is_done = [&] {
    synced = run({netfs_binary(), "sync", mount_->path(), "--timeout", "60s"}, kBound);
    // What went otherwise is told once only.
    return synced.status == 0 || !killed_since_open() ||
           synced.output.find("conflict") != std::string::npos;
  };
  ASSERT_TRUE(wait_until(is_done, kBound));
  ASSERT_EQ(synced.status, 0) << synced.output;
}

void OneFile::begin_kill() {
  if (killer_) return recover();
  note("kill");
  victim_ = mount_->worker();
  ASSERT_GT(victim_, 0);
  if (sshd_) sessions_ = children_of(sshd_->pid());
  ++killed_;
  const std::chrono::microseconds pause(random_() % 20'000);
  killer_ = std::make_unique<sync::Thread>("killer", [pause, victim = victim_] {
    const MonoTime until = Clock::system().now() + pause;
    (void)wait_until([&] { return Clock::system().now() >= until; }, std::chrono::seconds(1));
    kill_process(victim, SIGKILL);
  });
  plan_kill();
}

void OneFile::wait_for_next_worker() {
  killer_.reset();
  ASSERT_TRUE(
      wait_until([this] { return mount_->worker() > 0 && mount_->worker() != victim_; }, kBound));
  ASSERT_TRUE(wait_until(
      [this] {
        if (!sshd_) return true;
        const std::vector<pid_t> now = children_of(sshd_->pid());
        return std::none_of(sessions_.begin(), sessions_.end(), [&](pid_t session) {
          return std::find(now.begin(), now.end(), session) != now.end();
        });
      },
      kBound));
}

void OneFile::recover() {
  note("recover");
  close_all();
  wait_for_next_worker();
  while (random_() % 4 == 0 && !HasFailure()) {  // it had hardly begun
    begin_kill();
    wait_for_next_worker();
  }
  if (HasFailure()) return;
  lost_ = false;
  open_anew();
  if (HasFailure()) return;
  const std::string found = bytes_at(fd_.get(), 0, 2 * kFileBytesMax);
  const Doubt::Kept kept = is_back()        ? Doubt::Kept::kAllInOrder
                           : keeps_writes() ? Doubt::Kept::kSomeOfEach
                                            : Doubt::Kept::kAllButTheLast;
  ASSERT_TRUE(doubt_.allows(found, want_, kept))
      << "after a kill: " << found.size() << " bytes instead of " << want_.size() << ", "
      << doubt_.size() << " calls in doubt; first difference at "
      << std::mismatch(found.begin(), found.end(), want_.begin(), want_.end()).first -
             found.begin();
  want_ = found;
  doubt_.settle();
  if (!is_back()) expect_at_origin();
  plan_kill();
}

void OneFile::write_some(size_t at, size_t length) {
  note("write", at, length);
  const std::string bytes = pattern(random_(), 0, length);
  will_hold(at, bytes);
  expect_whole(::pwrite(fd_.get(), bytes.data(), length, static_cast<off_t>(at)), length);
}

void OneFile::read_some(size_t at, size_t length) {
  note("read", at, length);
  const int fd = random_() % 2 == 0 ? fd_.get() : other_.get();
  std::string found;
  if (!went(read_on(fd, static_cast<off_t>(at), length, found))) return;
  ASSERT_TRUE(found == expected(at, length));
}

void OneFile::write_directly(size_t at, size_t length) {
  align(at, length);
  note("direct write", at, length);
  const std::string bytes = pattern(random_(), 0, length);
  std::memcpy(aligned_.get(), bytes.data(), length);
  will_hold(at, bytes);
  expect_whole(::pwrite(direct_.get(), aligned_.get(), length, static_cast<off_t>(at)), length);
}

void OneFile::read_directly(size_t at, size_t length) {
  align(at, length);
  note("direct read", at, length);
  const ssize_t n = ::pread(direct_.get(), aligned_.get(), length, static_cast<off_t>(at));
  const std::string want = expected(at, length);
  if (!transfer(n, want.size())) return;
  ASSERT_TRUE(std::string(aligned_.get(), static_cast<size_t>(n)) == want);
}

void OneFile::use_a_mapping(size_t at, size_t length, bool store) {
  if (at >= want_.size()) return;
  length = std::min(length, want_.size() - at);
  note(store ? "store" : "load", at, length);
  const size_t page = at / kDirectUnit * kDirectUnit;
  const size_t span = at + length - page;
  void* map = ::mmap(nullptr, span, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(),
                     static_cast<off_t>(page));
  ASSERT_NE(map, MAP_FAILED) << strerror(errno);
  char* bytes = static_cast<char*>(map) + (at - page);
  if (store) {
    store_into(bytes, at, length, map, span);
  } else if (kills_wanted_) {
    if (transfer(::pwrite(scratch_.get(), bytes, length, 0), length)) {
      EXPECT_TRUE(bytes_at(scratch_.get(), 0, length) == expected(at, length));
    }
  } else {
    EXPECT_TRUE(std::string(bytes, length) == expected(at, length));
  }
  ::munmap(map, span);
}

void OneFile::store_into(char* bytes, size_t at, size_t length, void* map, size_t span) {
  const std::string stored = pattern(random_(), 0, length);
  will_hold(at, stored);
  if (kills_wanted_) {
    ASSERT_EQ(::pwrite(scratch_.get(), stored.data(), length, 0), static_cast<ssize_t>(length));
    if (!transfer(::pread(scratch_.get(), bytes, length, 0), length)) return;
    // Until it is synced it is in the kernel's pages alone.
    if (went(code(::msync(map, span, MS_SYNC)))) doubt_.settle();
    return;
  }
  std::memcpy(bytes, stored.data(), length);
  if (random_() % 3 == 0) (void)went(code(::msync(map, span, MS_SYNC)));
}

void OneFile::change_blocks(int mode, size_t at, size_t length, std::string after) {
  doubt_.begin(want_);
  want_.swap(after);
  const int error =
      code(::fallocate(fd_.get(), mode, static_cast<off_t>(at), static_cast<off_t>(length)));
  if (error == EOPNOTSUPP) {
    want_ = after;
  } else if (went(error)) {
    answered();
  }
}

void OneFile::allocate(size_t at, size_t length) {
  const bool keep = random_() % 2 == 0;
  note(keep ? "allocate, size kept," : "allocate", at, length);
  std::string after = want_;
  if (!keep) after.resize(std::max(after.size(), at + length));
  change_blocks(keep ? FALLOC_FL_KEEP_SIZE : 0, at, length, after);
}

void OneFile::make_zeroes(size_t at, size_t length) {
  const bool punch = random_() % 2 == 0;
  note(punch ? "punch" : "zero", at, length);
  std::string after = want_;
  if (!punch) after.resize(std::max(after.size(), at + length));
  if (at < after.size()) {
    const size_t zeroes = std::min(length, after.size() - at);
    after.replace(at, zeroes, zeroes, '\0');
  }
  change_blocks(punch ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_ZERO_RANGE, at,
                length, after);
}

void OneFile::copy_within(size_t from, size_t to, size_t length) {
  if (from >= want_.size()) return;
  length = std::min(length, want_.size() - from);
  if (from < to + length && to < from + length) return;  // EINVAL
  note("copy from " + std::to_string(from), to, length);
  auto source = static_cast<off64_t>(from);
  auto target = static_cast<off64_t>(to);
  const std::string before = want_;
  const std::string bytes = expected(from, length);
  will_hold(to, bytes);
  const ssize_t n = ::copy_file_range(fd_.get(), &source, fd_.get(), &target, length, 0);
  if (!went(code(n))) return;
  ASSERT_GT(n, 0);
  if (static_cast<size_t>(n) != length) {
    want_ = before;
    will_hold(to, bytes.substr(0, static_cast<size_t>(n)));
  }
  answered();
}

void OneFile::step() {
  const size_t at = random_() % (kFileBytesMax / 2);
  const size_t length = 1 + random_() % (random_() % 3 == 0 ? kFileBytesMax / 2 : 5000);
  const unsigned kind = random_() % 100;
  if (kind < 30) return write_some(at, length);
  if (kind < 50) return read_some(at, length);
  if (kind < 56) return write_directly(at, length);
  if (kind < 61) return read_directly(at, length);
  if (kind < 71) return use_a_mapping(at, length, kind < 66);
  if (kind < 77) return truncate_it(at);
  if (kind < 80) return allocate(at, length);
  if (kind < 84) return make_zeroes(at, length);
  if (kind < 88) return copy_within(at, random_() % (kFileBytesMax / 2), length);
  if (kind < 92) return sync_it();
  if (kind < 94) return close_it();
  if (kind < 97) return drop_pages(here("f"));
  struct stat st {};
  if (!went(code(::fstat(other_.get(), &st)))) return;
  ASSERT_EQ(st.st_size, static_cast<off_t>(want_.size()));
}
}  // namespace netfs::test
