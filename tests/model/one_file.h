#pragma once
// OneFile: one file on a writable mount, a string that says what it should hold, and the random
// steps that are done to both: buffered, direct and mapped reads and writes, truncation, holes,
// allocation, copies, syncs, other descriptors.
//
// With kill_now_and_then() the worker dies under them.  A call may fail then as the manual says;
// the file is opened again, holds what the way of writing has promised, and is gone on with.

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "sync/thread.h"
#include "tests/model/doubt.h"
#include "tests/mount/write_fixture.h"

namespace netfs::test {

constexpr size_t kFileBytesMax = 300'000;
constexpr size_t kDirectUnit = 4096;
constexpr size_t kHistoryShown = 60;

class OneFile : public WritableMount {
 protected:
  void begin();
  void kill_now_and_then() { kills_wanted_ = true; }
  void TearDown() override;

  void note(const std::string& what, size_t at = 0, size_t length = 0) {
    history_.push_back(what + " " + std::to_string(length) + " at " + std::to_string(at));
    if (history_.size() > kHistoryShown) history_.erase(history_.begin());
  }

  void expect_all_of_it();

 private:
  void run_for(std::chrono::seconds time);
  // Everything is at the origin.
  void sync_it();
  void close_it();
  void expect_at_origin() { ASSERT_TRUE(whole(there("f")) == want_) << "at the origin"; }
  void close_all() {
    fd_.reset();
    other_.reset();
    direct_.reset();
  }

  // ----- calls that may fail -----

  [[nodiscard]] bool killed_since_open() const { return killed_ != killed_at_open_; }
  // Whether a call went well.  If not it is to be known why: the process that had the file open is
  // dead.  A page that cannot be written is EIO, one that cannot be read is a signal, or EFAULT.
  bool went(int error);
  void open_anew();
  // The journal of --write=back is at the origin.
  void bring();

  // ----- kills -----

  void plan_kill() {
    next_kill_ = Clock::system().now() + std::chrono::milliseconds(100 + random_() % 1500);
  }
  // It comes within some steps.
  void begin_kill();
  // Another worker serves, and nothing that the dead one has asked for is under way any more.
  void wait_for_next_worker();
  void recover();

  // ----- steps -----

  [[nodiscard]] std::string expected(size_t at, size_t length) const {
    return at < want_.size() ? want_.substr(at, length) : std::string();
  }
  void will_hold(size_t at, const std::string& bytes) {
    doubt_.begin(want_);
    if (want_.size() < at + bytes.size()) want_.resize(at + bytes.size());
    want_.replace(at, bytes.size(), bytes);
  }
  void will_have(size_t size) {
    doubt_.begin(want_);
    want_.resize(size);
  }
  // A call that changes it was answered.
  void answered() {
    if (!keeps_writes() && !is_back()) doubt_.settle();
  }
  // A transfer that has to be whole, and ends early only where a part of it failed.
  bool transfer(ssize_t n, size_t length) {
    return went(n < 0 ? errno : static_cast<size_t>(n) < length ? EFAULT : 0);
  }
  void expect_whole(ssize_t n, size_t length) {
    if (transfer(n, length)) answered();
  }

  void write_some(size_t at, size_t length);
  void read_some(size_t at, size_t length);
  static void align(size_t& at, size_t& length) {
    at = at / kDirectUnit * kDirectUnit;
    length = std::max(length / kDirectUnit, size_t{1}) * kDirectUnit;
  }
  void write_directly(size_t at, size_t length);
  void read_directly(size_t at, size_t length);
  // Of what there is: beyond the end a store would be a signal.  The kernel makes the accesses for
  // us where the worker may be dead: EFAULT instead of a signal.
  void use_a_mapping(size_t at, size_t length, bool store);
  void store_into(char* bytes, size_t at, size_t length, void* map, size_t span);
  void truncate_it(size_t size) {
    note("truncate", size);
    will_have(size);
    if (went(code(::ftruncate(fd_.get(), static_cast<off_t>(size))))) answered();
  }
  void change_blocks(int mode, size_t at, size_t length, std::string after);
  void allocate(size_t at, size_t length);
  void make_zeroes(size_t at, size_t length);
  void copy_within(size_t from, size_t to, size_t length);

  void step();

  struct FreeMemory {
    void operator()(char* memory) const { std::free(memory); }
  };
  std::mt19937_64 random_;
  std::string want_;
  UniqueFd fd_;
  UniqueFd other_;
  UniqueFd direct_;
  UniqueFd scratch_;
  std::unique_ptr<char, FreeMemory> aligned_;
  std::vector<std::string> history_;
  Doubt doubt_;

  bool kills_wanted_ = false;
  bool lost_ = false;  // what is open is of a dead worker
  unsigned killed_ = 0;
  unsigned killed_at_open_ = 0;
  unsigned failed_calls_ = 0;
  MonoTime next_kill_{};
  pid_t victim_ = -1;
  std::vector<pid_t> sessions_;  // of the victim, at the origin
  std::unique_ptr<sync::Thread> killer_;
};

}  // namespace netfs::test
