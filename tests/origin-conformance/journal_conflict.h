#pragma once
// JournalConflict: a journal over a real folder whose link fails, and into which somebody else
// writes.

#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <utility>

#include "cachefiles/sim_disk.h"
#include "journal/journaled_origin.h"
#include "journal/waited.h"
#include "netfs/testing/simulated_origin.h"
#include "origins/module_loader.h"
#include "tests/origin-conformance/flaky_origin.h"
#include "tests/origin-conformance/reads.h"
#include "tests/origin-conformance/waited_write.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {

using cachefiles::SimDisk;
using journal::JournaledOrigin;

inline Deadline in(Duration time) {
  return Deadline::after(Clock::system(), time);
}
inline Deadline soon() {
  return in(std::chrono::seconds(60));
}

class JournalConflict : public testing::Test {
 protected:
  void SetUp() override {
    write_file(tree_ + "/f", "0123456789");
    write_file(tree_ + "/g", "the other file");
    std::filesystem::create_directory(tree_ + "/d");
    write_file(tree_ + "/d/b", "in a directory");
    inner_ = origins::open_origin({.url = origins::Url::parse("file://" + tree_).value()}).value();
    flaky_ = std::make_unique<FlakyOrigin>(*inner_);
  }
  // Another process: `uploads`: else what is done waits for the next one.
  void start(bool uploads = true) {
    origin_.reset();
    Result<std::unique_ptr<JournaledOrigin>> opened =
        JournaledOrigin::open({.inner = *flaky_,
                               .disk = disk_,
                               .directory = "j",
                               .retry_first = std::chrono::milliseconds(1),
                               .retry_max = std::chrono::milliseconds(2),
                               .sync_after = Duration(0),
                               .trouble_max = std::chrono::milliseconds(20),
                               .uploads = uploads});
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    origin_ = std::move(opened).value();
  }
  OriginWriter& writer() { return *origin_->writer(); }
  void write(const std::string& path, uint64_t at, const std::string& bytes) {
    const Result<OpenedFile> file = writer().open_for_writing(path, soon());
    ASSERT_TRUE(file.ok()) << file.error().message();
    ASSERT_TRUE(WaitedWrite(*file.value().file, at, bytes).run(writer()).transferred_bytes.ok());
  }
  void away() {
    flaky_->set_flaws([](const std::string&, const std::string&) { return Flaw::kBefore; });
  }
  void back() { flaky_->set_flaws({}); }
  // The n-th call of this kind from now on fails.
  void fail_once(const std::string& call, Flaw flaw, int n = 0) {
    flaky_->set_flaws([call, flaw, n](const std::string& now, const std::string&) mutable {
      return now == call && n-- == 0 ? flaw : Flaw::kNone;
    });
  }
  void drain() {
    ASSERT_TRUE(origin_->journal().drain(soon())) << origin_->journal().status().last_error;
  }
  bool drains_within(Duration time) { return origin_->journal().drain(in(time)); }
  std::string there(const std::string& path) {
    const Result<std::string> bytes = read_whole(tree_ + "/" + path);
    return bytes.ok() ? bytes.value() : "(" + std::to_string(bytes.code()) + ")";
  }
  bool has(const std::string& file) {
    const std::vector<std::string> files = disk_.files();
    return std::find(files.begin(), files.end(), file) != files.end();
  }

  TempDir temp_;
  const std::string tree_ = temp_.make_dir("tree");
  SimDisk disk_;
  std::unique_ptr<Origin> inner_;
  std::unique_ptr<FlakyOrigin> flaky_;
  std::unique_ptr<JournaledOrigin> origin_;
};

}  // namespace netfs::test
