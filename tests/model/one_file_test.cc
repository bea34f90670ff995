// Goal: one file on a writable mount is what a plain file would be, whatever is done to it and by
// whichever way: buffered, direct and mapped reads and writes, truncation, holes, copies, syncs,
// other descriptors.  Method: random steps against a string; at each sync and at the end the
// origin's file is compared, byte for byte.  (fsx has the idea; its source is another one's.)
//
// NETFS_TEST_SECONDS sets how long; NETFS_TEST_SEED repeats a run.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <linux/falloc.h>
#include <random>
#include <sys/mman.h>

#include "tests/mount/write_fixture.h"

namespace netfs::test {
namespace {

constexpr size_t kFileBytesMax = 300'000;
constexpr size_t kDirectUnit = 4096;
constexpr size_t kHistoryShown = 40;

class OneFile : public Write {
 protected:
  void begin() {
    random_.seed(test_seed());
    mount_it();
    open_anew();
    void* memory = nullptr;
    ASSERT_EQ(::posix_memalign(&memory, kDirectUnit, kFileBytesMax), 0);
    aligned_.reset(static_cast<char*>(memory));
  }
  void TearDown() override {
    if (!HasFailure()) return;
    for (const std::string& line : history_) std::printf("%s\n", line.c_str());
    if (mount_) std::printf("%s\n", mount_->log().c_str());
  }

  void open_anew() {
    fd_ = open_file(here("f"), O_RDWR | O_CREAT);
    other_ = open_file(here("f"), O_RDONLY);
    direct_ = open_file(here("f"), O_RDWR | O_DIRECT);
    ASSERT_TRUE(fd_ && other_ && direct_) << strerror(errno);
  }
  void note(const std::string& what, size_t at, size_t length) {
    history_.push_back(what + " " + std::to_string(length) + " at " + std::to_string(at));
    if (history_.size() > kHistoryShown) history_.erase(history_.begin());
  }
  [[nodiscard]] std::string expected(size_t at, size_t length) const {
    return at < want_.size() ? want_.substr(at, length) : std::string();
  }
  void will_hold(size_t at, const std::string& bytes) {
    if (want_.size() < at + bytes.size()) want_.resize(at + bytes.size());
    want_.replace(at, bytes.size(), bytes);
  }

  void write_some(size_t at, size_t length) {
    note("write", at, length);
    const std::string bytes = pattern(random_(), 0, length);
    will_hold(at, bytes);
    ASSERT_EQ(::pwrite(fd_.get(), bytes.data(), length, static_cast<off_t>(at)),
              static_cast<ssize_t>(length))
        << strerror(errno);
  }
  void read_some(size_t at, size_t length) {
    note("read", at, length);
    const int fd = random_() % 2 == 0 ? fd_.get() : other_.get();
    ASSERT_TRUE(bytes_at(fd, static_cast<off_t>(at), length) == expected(at, length));
  }
  void write_directly(size_t at, size_t length) {
    at = at / kDirectUnit * kDirectUnit;
    length = std::max(length / kDirectUnit, size_t{1}) * kDirectUnit;
    note("direct write", at, length);
    const std::string bytes = pattern(random_(), 0, length);
    std::memcpy(aligned_.get(), bytes.data(), length);
    will_hold(at, bytes);
    ASSERT_EQ(::pwrite(direct_.get(), aligned_.get(), length, static_cast<off_t>(at)),
              static_cast<ssize_t>(length))
        << strerror(errno);
  }
  void read_directly(size_t at, size_t length) {
    at = at / kDirectUnit * kDirectUnit;
    length = std::max(length / kDirectUnit, size_t{1}) * kDirectUnit;
    note("direct read", at, length);
    const ssize_t n = ::pread(direct_.get(), aligned_.get(), length, static_cast<off_t>(at));
    ASSERT_GE(n, 0) << strerror(errno);
    ASSERT_TRUE(std::string(aligned_.get(), static_cast<size_t>(n)) == expected(at, length));
  }
  // Of what there is: beyond the end a store would be a signal.
  void use_a_mapping(size_t at, size_t length, bool store) {
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
      const std::string stored = pattern(random_(), 0, length);
      std::memcpy(bytes, stored.data(), length);
      will_hold(at, stored);
      if (random_() % 3 == 0) {
        ASSERT_EQ(::msync(map, span, MS_SYNC), 0) << strerror(errno);
      }
    } else {
      EXPECT_TRUE(std::string(bytes, length) == expected(at, length));
    }
    ::munmap(map, span);
  }
  void truncate_it(size_t size) {
    note("truncate", size, 0);
    want_.resize(size);
    ASSERT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(size)), 0) << strerror(errno);
  }
  void make_zeroes(size_t at, size_t length) {
    const bool punch = random_() % 2 == 0;
    note(punch ? "punch" : "zero", at, length);
    const int mode = punch ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_ZERO_RANGE;
    if (::fallocate(fd_.get(), mode, static_cast<off_t>(at), static_cast<off_t>(length)) != 0) {
      ASSERT_EQ(errno, EOPNOTSUPP) << strerror(errno);
      return;
    }
    if (punch && at >= want_.size()) return;
    if (punch) length = std::min(length, want_.size() - at);
    will_hold(at, std::string(length, '\0'));
  }
  void copy_within(size_t from, size_t to, size_t length) {
    if (from >= want_.size()) return;
    length = std::min(length, want_.size() - from);
    if (from < to + length && to < from + length) return;  // EINVAL
    note("copy from " + std::to_string(from), to, length);
    auto source = static_cast<off64_t>(from);
    auto target = static_cast<off64_t>(to);
    const std::string bytes = expected(from, length);
    const ssize_t n = ::copy_file_range(fd_.get(), &source, fd_.get(), &target, length, 0);
    ASSERT_GT(n, 0) << strerror(errno);
    will_hold(to, bytes.substr(0, static_cast<size_t>(n)));
  }
  void sync_it() {
    note("sync", 0, 0);
    ASSERT_EQ(random_() % 2 == 0 ? ::fsync(fd_.get()) : ::fdatasync(fd_.get()), 0)
        << strerror(errno);
    ASSERT_TRUE(whole(there("f")) == want_) << "at the origin";
  }
  void close_it() {
    note("close", 0, 0);
    fd_.reset();
    other_.reset();
    direct_.reset();
    ASSERT_TRUE(whole(there("f")) == want_) << "at the origin";
    ASSERT_EQ(stat_of(here("f")).st_size, static_cast<off_t>(want_.size()));
    open_anew();
  }

  void step() {
    const size_t at = random_() % (kFileBytesMax / 2);
    const size_t length = 1 + random_() % (random_() % 3 == 0 ? kFileBytesMax / 2 : 5000);
    const unsigned kind = random_() % 100;
    if (kind < 30) return write_some(at, length);
    if (kind < 52) return read_some(at, length);
    if (kind < 58) return write_directly(at, length);
    if (kind < 63) return read_directly(at, length);
    if (kind < 73) return use_a_mapping(at, length, kind < 68);
    if (kind < 79) return truncate_it(at);
    if (kind < 84) return make_zeroes(at, length);
    if (kind < 88) return copy_within(at, random_() % (kFileBytesMax / 2), length);
    if (kind < 92) return sync_it();
    if (kind < 94) return close_it();
    if (kind < 97) return drop_pages(here("f"));
    struct stat st {};
    ASSERT_EQ(::fstat(other_.get(), &st), 0);
    ASSERT_EQ(st.st_size, static_cast<off_t>(want_.size()));
  }

  struct FreeMemory {
    void operator()(char* memory) const { std::free(memory); }
  };
  std::mt19937_64 random_;
  std::string want_;
  UniqueFd fd_;
  UniqueFd other_;
  UniqueFd direct_;
  std::unique_ptr<char, FreeMemory> aligned_;
  std::vector<std::string> history_;
};

INSTANTIATE_TEST_SUITE_P(Origins, OneFile,
                         testing::Values("file", "sftp", "file_close", "sftp_close"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST_P(OneFile, IsWhatAPlainFileWouldBeWhateverIsDoneToIt) {
  begin();
  const MonoTime until = Clock::system().now() + run_time();
  while (!HasFailure() && Clock::system().now() < until) step();
  if (HasFailure()) return;
  sync_it();
  ASSERT_TRUE(bytes_at(other_.get(), 0, kFileBytesMax) == want_);
  close_it();
  fd_.reset();
  other_.reset();
  direct_.reset();
  ASSERT_TRUE(mount_->unmount()) << mount_->log();
  mount_it();
  EXPECT_TRUE(whole(here("f")) == want_) << "after another mount";
}

}  // namespace
}  // namespace netfs::test
