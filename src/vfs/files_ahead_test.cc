// Files ahead: who reads files in turn waits for few round trips, who does not is left alone.

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <functional>
#include <map>
#include <random>
#include <span>

#include "netfs/offload.h"
#include "netfs/simulated_link.h"
#include "netfs/testing/memory_cache.h"
#include "vfs/limits.h"
#include "vfs/testing/mount_fixture.h"
#include "vfs/testing/shifted_clock.h"

namespace netfs::vfs {
namespace {

constexpr Duration kRoundTrip = std::chrono::milliseconds(20);

std::string text_of(const std::string& path, size_t size) {
  std::string text(size, '\0');
  const uint64_t seed = std::hash<std::string>()(path);
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(pattern_byte(seed, i));
  return text;
}

// Over the real library, behind a link.
class ReadsInTurn : public MountFixture {
 protected:
  explicit ReadsInTurn(SimulatedOrigin::Options tree = {})
      : MountFixture(std::move(tree)),
        offload_(cache_.open_writer(), {.commit_interval = std::chrono::milliseconds(1)}) {}
  ~ReadsInTurn() override {
    tree_.release_reads();
    unmount();
    EXPECT_TRUE(offload_.close(soon()));
  }
  void unmount() {
    end();
    real_.reset();
  }
  void start_over(Options options = {.metadata_ttl = std::chrono::minutes(5)}) {
    Ref<Volume> volume = MUST(cache_.open_volume(origin_.volume_key()));
    real_ = MUST(Library::create({.origin = link_,
                                  .volume = std::move(volume),
                                  .offload = &offload_,
                                  .pool = pool_,
                                  .timeout = std::chrono::seconds(10)}));
    start(std::move(options));
  }

  Library& library() override { return *real_; }
  void close_library() override {
    if (real_) real_->close();
  }
  Origin& origin() override { return link_; }
  const Clock& clock() override { return shifted_; }
  static Deadline soon() { return Deadline::after(Clock::system(), fuse::FakeKernel::kPatience); }

  static std::string numbered(const std::string& name, size_t i) {
    return name + std::to_string(100 + i);
  }
  void make(size_t directories, size_t files, size_t bytes = 9000) {
    for (size_t d = 0; d < directories; ++d) {
      for (size_t f = 0; f < files; ++f) {
        const std::string path = numbered("d", d) + "/" + numbered("f", f);
        tree_.add_file(path, text_of(path, bytes));
        bytes_ += bytes;
      }
    }
    size_ = bytes;
  }
  // Opens, reads and closes it; the bytes, or the errno of the open or the read.
  std::string read_whole(NodeId node) {
    const Answer answer = open(node);
    if (answer.error != 0) return "errno " + std::to_string(answer.error);
    const uint64_t handle = answer.as<proto::OpenOut>().fh;
    std::string bytes = read(node, handle, 0, 64 << 10);
    close(node, handle);
    return bytes;
  }
  void expect_read(NodeId node, const std::string& path) {
    EXPECT_TRUE(read_whole(node) == text_of(path, size_)) << path;
  }
  using Names = std::map<std::string, NodeId>;
  Names names_in(NodeId directory) {
    Names names;
    // Immutable mounts need no open for that.
    for (const Listed& one : options_.immutable ? list(directory, 0) : list(directory)) {
      if (one.name != "." && one.name != "..") names[one.name] = NodeId(one.entry.nodeid);
    }
    return names;
  }
  // As tar does: each directory's names, then its files.
  void read_tree() {
    for (const auto& [directory, node] : names_in(fuse::kRootNode)) read_directory(directory, node);
  }
  void read_directory(const std::string& directory, NodeId node) {
    for (const auto& [name, file] : names_in(node)) expect_read(file, directory + "/" + name);
  }
  // Printed and not judged: a machine with other work stretches it.  What makes it so is counted.
  static void print_trips(int in_turn, const std::function<void()>& work) {
    const MonoTime began = Clock::system().now();
    work();
    const Duration took = Clock::system().now() - began;
    std::printf("waited for %ld round trips, one after the other %d\n", long{took / kRoundTrip},
                in_turn);
  }
  [[nodiscard]] const Counters& counters() const { return fs_->counters(); }
  // Until all that was begun ahead has come.  It counts when it is begun, before it is opened.
  bool have_come() {
    return wait_for([&] {
      return real_->stats().origin_reads.done.get() >=
             real_->stats().misses.get() + counters().ahead_files.get();
    });
  }

  ShiftedClock shifted_;
  SimulatedLink link_{origin_, {.round_trip = kRoundTrip}};
  MemoryCache cache_;
  Offload offload_;
  std::unique_ptr<Library> real_;
  uint64_t bytes_ = 0;
  size_t size_ = 0;
};

// One after the other is an open and a read each: 400 round trips.  16 opens at a time are 13.
TEST_F(ReadsInTurn, AreUnderWayBeforeTheyAreOpened) {
  make(10, 20);
  start_over();
  print_trips(400, [&] { read_tree(); });
  const SimulatedOrigin::Counts counts = tree_.counts();
  EXPECT_EQ(counts.read_bytes, bytes_) << "each once";
  EXPECT_EQ(counts.opens, 200U);
  EXPECT_GE(counters().ahead_files.get(), 180U);
  EXPECT_GE(counters().ahead_files_used.get(), counters().ahead_files.get() - 2);
  EXPECT_EQ(counters().ahead_files_wasted.get(), 0U);
  EXPECT_TRUE(wait_for([&] { return real_->stats().subrequests_open == 0; }));
  EXPECT_TRUE(wait_for([&] { return tree_.open_files() <= 4; })) << "what is here is closed there";
}

// The first directory shows the way; in the others nobody waits for a file of his own.
TEST_F(ReadsInTurn, GoOnInTheDirectoriesBesideIt) {
  make(6, 12);
  start_over();
  const auto directories = names_in(fuse::kRootNode);
  auto at = directories.begin();
  for (int i = 0; i < 2; ++i, ++at) read_directory(at->first, at->second);
  const uint64_t before = real_->stats().misses.get();
  for (; at != directories.end(); ++at) read_directory(at->first, at->second);
  EXPECT_LE(real_->stats().misses.get() - before, 1U);
}

// Paths that are known: only the first directory is ever listed for the reader.
TEST_F(ReadsInTurn, AreFoundInDirectoriesThatHeDoesNotList) {
  make(8, 20);
  start_over();
  const auto directories = names_in(fuse::kRootNode);
  auto at = directories.begin();
  read_directory(at->first, at->second);
  const uint64_t misses = real_->stats().misses.get();
  print_trips(420, [&] {
    for (++at; at != directories.end(); ++at) {
      for (size_t f = 0; f < 20; ++f) {
        const NodeId file(look_up(numbered("f", f), at->second).nodeid);
        expect_read(file, at->first + "/" + numbered("f", f));
      }
    }
  });
  EXPECT_LE(real_->stats().misses.get() - misses, 20U);
  EXPECT_EQ(tree_.counts().read_bytes, bytes_);
}

TEST_F(ReadsInTurn, OneFileInEachOfFiftyDirectoriesFetchesNothingElse) {
  make(50, 20);
  start_over();
  uint64_t asked = 0;
  for (const auto& [directory, node] : names_in(fuse::kRootNode)) {
    const auto files = names_in(node);
    expect_read(files.begin()->second, directory + "/" + files.begin()->first);
    asked += size_;
  }
  EXPECT_LT(tree_.counts().read_bytes, 2 * asked);
  EXPECT_EQ(counters().ahead_files.get(), 0U);
}

TEST_F(ReadsInTurn, AtRandomFetchNothingElse) {
  make(3, 60);
  start_over();
  std::vector<std::pair<std::string, NodeId>> all;
  for (const auto& [directory, node] : names_in(fuse::kRootNode)) {
    for (const auto& [name, file] : names_in(node)) all.emplace_back(directory + "/" + name, file);
  }
  std::shuffle(all.begin(), all.end(), std::minstd_rand(5));
  for (const auto& [path, file] : all) expect_read(file, path);
  EXPECT_EQ(counters().ahead_files.get(), 0U);
  EXPECT_EQ(tree_.counts().read_bytes, bytes_);
}

TEST_F(ReadsInTurn, OfLargeFilesOnlyTheBeginningIsFetched) {
  for (size_t f = 0; f < 8; ++f) tree_.add_pattern("d/" + numbered("f", f), 4 << 20, f);
  start_over();
  const auto files = names_in(NodeId(look_up("d").nodeid));
  for (auto at = files.begin(); at != std::next(files.begin(), 3); ++at) {
    const uint64_t handle = opened(at->second).fh;
    (void)read(at->second, handle, 2 << 20, 4096);
    close(at->second, handle);
  }
  ASSERT_TRUE(wait_for([&] { return counters().ahead_files.get() == 2; }));
  EXPECT_EQ(counters().ahead_bytes.get(), 2 * kAheadFirstBytes);
}

TEST_F(ReadsInTurn, WhoOpensAFileThatIsUnderWayJoinsIt) {
  make(1, 8);
  start_over();
  const NodeId directory(look_up("d100").nodeid);
  const auto files = names_in(directory);
  auto at = files.begin();
  for (int i = 0; i < 2; ++i, ++at) expect_read(at->second, "d100/" + at->first);
  tree_.hold_reads();
  const auto third = at++;
  const uint64_t handle = opened(third->second).fh;  // begins two more
  ASSERT_TRUE(tree_.wait_for_held(2, soon()));
  const uint64_t own = send_read(third->second, handle, 0, 64 << 10);
  ASSERT_TRUE(tree_.wait_for_held(3, soon()));
  const uint64_t next = opened(at->second).fh;
  const uint64_t joined = send_read(at->second, next, 0, 64 << 10);
  EXPECT_EQ(get_attributes(directory).error, 0) << "others go on";
  tree_.release_reads();
  EXPECT_EQ(await(own).text(), text_of("d100/" + third->first, size_));
  EXPECT_EQ(await(joined).text(), text_of("d100/" + at->first, size_));
  EXPECT_TRUE(wait_for([&] { return real_->stats().subrequests_open == 0; }));
  EXPECT_EQ(tree_.counts().overlapping_reads, 0U);
  EXPECT_LE(tree_.counts().read_bytes, bytes_);
}

TEST_F(ReadsInTurn, WhatNobodyReadsIsCountedAsWastedAndEndsIt) {
  make(1, 40);
  start_over({.metadata_ttl = std::chrono::seconds(30)});
  const auto files = names_in(NodeId(look_up("d100").nodeid));
  std::vector<std::pair<std::string, NodeId>> all(files.begin(), files.end());
  for (size_t i = 0; i < 3; ++i) expect_read(all[i].second, "d100/" + all[i].first);
  ASSERT_TRUE(wait_for([&] { return counters().ahead_files.get() == 2; }));
  expect_read(all[3].second, "d100/" + all[3].first);
  ASSERT_TRUE(wait_for([&] { return counters().ahead_files.get() == 5; }));  // 3 to 7, one read
  for (const size_t i : {30U, 20U, 35U}) expect_read(all[i].second, "d100/" + all[i].first);
  EXPECT_EQ(counters().ahead_files.get(), 5U) << "the first break ends it";
  EXPECT_EQ(counters().ahead_files_wasted.get(), 0U);
  shifted_.shift(std::chrono::seconds(31));
  (void)fs_->sizes();
  EXPECT_EQ(counters().ahead_files_used.get(), 1U);
  EXPECT_EQ(counters().ahead_files_wasted.get(), 4U);
  EXPECT_EQ(counters().ahead_bytes_wasted.get(), 4 * size_);
}

TEST_F(ReadsInTurn, AnOriginThatStopsInTheMiddleIsToldToWhoReadsAndNobodyElse) {
  make(1, 60);
  start_over();
  const auto files = names_in(NodeId(look_up("d100").nodeid));
  auto at = files.begin();
  for (int i = 0; i < 6; ++i, ++at) expect_read(at->second, "d100/" + at->first);
  ASSERT_TRUE(have_come());
  tree_.set_fault(
      [](const SimulatedRead&) { return Fault{.kind = Fault::kError, .error = EACCES}; });
  // What had come is read; then come errors, one for each who reads.
  size_t good = 0;
  size_t bad = 0;
  for (; at != files.end(); ++at) {
    const std::string bytes = read_whole(at->second);
    if (bytes == text_of("d100/" + at->first, size_)) {
      ++good;
    } else {
      EXPECT_EQ(bytes, "errno " + std::to_string(EACCES)) << at->first;
      ++bad;
    }
  }
  EXPECT_GE(bad, 1U);
  EXPECT_GE(good, 1U);
  tree_.set_fault(nullptr);
  for (const auto& [name, file] : files) expect_read(file, "d100/" + name);
}

// Between the fetch and the open: within the TTL the version that was seen, then the new one.
TEST_F(ReadsInTurn, AFileThatChangesAfterItWasFetchedIsOneVersionAndNewAfterTheTtl) {
  make(1, 12);
  start_over({.metadata_ttl = std::chrono::seconds(30)});
  const NodeId directory(look_up("d100").nodeid);
  const auto files = names_in(directory);
  auto at = files.begin();
  for (int i = 0; i < 3; ++i, ++at) expect_read(at->second, "d100/" + at->first);
  ASSERT_TRUE(wait_for([&] { return counters().ahead_files.get() >= 2; }));
  ASSERT_TRUE(have_come());
  const std::string path = "d100/" + at->first;
  tree_.replace(path, "new bytes");
  expect_read(at->second, path);
  const auto other = std::next(at);
  tree_.replace("d100/" + other->first, "other bytes");
  shifted_.shift(std::chrono::seconds(31));
  EXPECT_EQ(read_whole(other->second), "errno " + std::to_string(ESTALE));
  EXPECT_EQ(read_whole(NodeId(look_up(other->first, directory).nodeid)), "other bytes");
}

// Between the listing and the fetch: the fetch finds out, and the open asks whatever the TTL says.
TEST_F(ReadsInTurn, AFileThatChangedBeforeItWasFetchedIsAskedForAtItsOpen) {
  make(1, 12);
  start_over();
  const NodeId directory(look_up("d100").nodeid);
  const auto files = names_in(directory);
  const auto changed = std::next(files.begin(), 4);
  tree_.replace("d100/" + changed->first, "new bytes");
  for (auto at = files.begin(); at != changed; ++at) expect_read(at->second, "d100/" + at->first);
  ASSERT_TRUE(wait_for([&] { return real_->stats().stale.get() == 1; }));
  EXPECT_EQ(open(changed->second).error, ESTALE) << "the kernel looks the name up again";
  EXPECT_EQ(read_whole(NodeId(look_up(changed->first, directory).nodeid)), "new bytes");
}

// What could hide a change is not fetched: who opens it later could not tell that it is old.
TEST_F(ReadsInTurn, FilesThatChangedJustNowAreNotFetched) {
  for (size_t f = 0; f < 12; ++f) {
    tree_.add_file("d/" + numbered("f", f), "bytes", Clock::system().wall().seconds + 60);
  }
  start_over();
  const auto files = names_in(NodeId(look_up("d").nodeid));
  for (const auto& [name, file] : files) EXPECT_EQ(read_whole(file), "bytes");
  EXPECT_EQ(counters().ahead_files.get(), 0U);
}

TEST_F(ReadsInTurn, WithoutOpensTheFirstReadTells) {
  make(2, 20);
  start_over({.immutable = true});
  print_trips(80, [&] {
    for (const auto& [directory, node] : names_in(fuse::kRootNode)) {
      for (const auto& [name, file] : names_in(node)) {
        EXPECT_TRUE(read(file, 0, 0, 64 << 10) == text_of(directory + "/" + name, size_)) << name;
      }
    }
  });
  EXPECT_GE(counters().ahead_files_used.get(), 34U);
}

// Mounted anew, with all of it in the cache: no work is done for what is there.
TEST_F(ReadsInTurn, OfFilesThatAreCachedFewAreTried) {
  make(4, 40);
  start_over();
  read_tree();
  ASSERT_TRUE(wait_for([&] { return cache_.usage().sealed_count == 160; }));
  const uint64_t reads = tree_.counts().reads;
  unmount();
  start_over();
  const auto directories = names_in(fuse::kRootNode);
  read_directory(directories.begin()->first, directories.begin()->second);
  const auto next = std::next(directories.begin());
  const auto files = names_in(next->second);
  auto at = files.begin();
  for (int i = 0; i < 5; ++i, ++at) expect_read(at->second, next->first + "/" + at->first);
  // Time for those that are tried.
  for (const auto& [name, node] : directories) (void)names_in(node);
  EXPECT_LE(fs_->sizes().idle_files, 45U + 2 * kAheadVainMax) << "of 160";
  EXPECT_EQ(counters().ahead_files.get(), 0U);
  EXPECT_EQ(tree_.counts().reads, reads);
}

class ReadsInTurnWritable : public ReadsInTurn {
 protected:
  ReadsInTurnWritable() : ReadsInTurn({.write = WriteCapabilities{}}) {}
};

TEST_F(ReadsInTurnWritable, WhatWasWrittenHereIsNotFetchedOverIt) {
  make(1, 12);
  start_over({.write = Options::Write::kClose, .metadata_ttl = std::chrono::minutes(5)});
  const NodeId directory(look_up("d100").nodeid);
  const auto files = names_in(directory);
  const auto written = std::next(files.begin(), 4);
  const Answer answer = call(Opcode::kOpen, written->second, proto::OpenIn{.flags = O_WRONLY});
  ASSERT_EQ(answer.error, 0);
  const uint64_t writer = answer.as<proto::OpenOut>().fh;
  const std::string mine = "mine";
  const proto::WriteIn head{.fh = writer, .size = static_cast<uint32_t>(mine.size())};
  std::string body(reinterpret_cast<const char*>(&head), sizeof head);
  body += mine;
  ASSERT_EQ(
      await(kernel_->send(Opcode::kWrite, written->second, std::as_bytes(std::span(body)))).error,
      0);
  for (auto at = files.begin(); at != written; ++at) expect_read(at->second, "d100/" + at->first);
  std::string expected = text_of("d100/" + written->first, size_);
  expected.replace(0, mine.size(), mine);
  EXPECT_TRUE(read_whole(written->second) == expected);
  close(written->second, writer);
  EXPECT_TRUE(read_whole(written->second) == expected);
}

}  // namespace
}  // namespace netfs::vfs
