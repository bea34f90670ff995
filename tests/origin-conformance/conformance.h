#pragma once
// What every origin must do, asked of each module in turn: a new module is one line in
// conformance.cc.
//
// A fixture with a tree of its own, served by the module under test and changed locally; its tests
// are in conformance_*_test.cc.

#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cachefiles/sim_disk.h"
#include "journal/journaled_origin.h"
#include "origins/module_loader.h"
#include "tests/origin-conformance/reads.h"
#include "tests/support/temp_dir.h"

namespace netfs::test {

// What a protocol can say and do; where it cannot, a test asks for less.
struct Abilities {
  bool links = true;
  bool modes = true;      // permissions, owners, special files
  bool changes = true;    // it has a writer
  bool space = true;      // how full the file system is
  bool ranges = true;     // of this server
  bool all_names = true;  // this server lists every name as it is
};

struct OriginModuleUnderTest {
  std::string name;
  // How the module reaches a local folder.
  std::function<Result<origins::OriginRequest>(const std::string& tree)> request;
  // The same for a login that is not root, even when root runs the tests.
  std::function<Result<origins::OriginRequest>(const std::string& tree)> ordinary_request;
  Abilities can = {};
  bool journaled = false;  // with a journal in front of it
};

const std::vector<OriginModuleUnderTest>& modules_under_test();
// Those that can be changed.
std::vector<OriginModuleUnderTest> writable_modules_under_test();

class OriginConformance : public testing::TestWithParam<OriginModuleUnderTest> {
 protected:
  void SetUp() override { open_tree(temp_.make_dir("tree")); }

  void open_tree(const std::string& tree) { open_tree(tree, GetParam().request(tree)); }
  void open_tree(const std::string& tree, const Result<origins::OriginRequest>& request) {
    tree_ = tree;
    ASSERT_TRUE(request.ok()) << request.error().message();
    Result<std::unique_ptr<Origin>> origin = origins::open_origin(request.value());
    ASSERT_TRUE(origin.ok()) << origin.error().message();
    journaled_ = nullptr;
    origin_.reset();
    inner_.reset();
    origin_ = std::move(origin).value();
    if (GetParam().journaled) put_journal_in_front();
  }
  void put_journal_in_front() {
    inner_ = std::move(origin_);
    disk_ = std::make_unique<cachefiles::SimDisk>();
    auto opened =
        journal::JournaledOrigin::open({.inner = *inner_, .disk = *disk_, .directory = "journal"});
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    journaled_ = opened.value().get();
    origin_ = std::move(opened).value();
  }
  // What was changed is there.
  void arrive() {
    if (journaled_ != nullptr) {
      EXPECT_TRUE(journaled_->journal().drain(soon()));
    }
  }

  [[nodiscard]] static Deadline soon() {
    return Deadline::after(Clock::system(), std::chrono::seconds(60));
  }
  [[nodiscard]] std::string at(const std::string& name) const { return tree_ + "/" + name; }
  NodeInfo stat(const std::string& path) {
    Result<NodeInfo> info = origin_->stat(path, soon());
    EXPECT_TRUE(info.ok()) << path << ": " << info.error().message();
    return info.ok() ? std::move(info).value() : NodeInfo{};
  }
  std::unique_ptr<OriginFile> open(const std::string& path) {
    Result<std::unique_ptr<OriginFile>> file = origin_->open(path, soon());
    EXPECT_TRUE(file.ok()) << path << ": " << file.error().message();
    return file.ok() ? std::move(file).value() : nullptr;
  }
  Result<std::map<std::string, NodeInfo>> list(const std::string& path) {
    std::map<std::string, NodeInfo> entries;
    TRY(origin_->list(path, soon(), [&](OriginEntry entry) -> Result<void> {
      EXPECT_FALSE(entries.contains(entry.name)) << "twice: " << entry.name;
      entries.emplace(std::move(entry.name), std::move(entry.info));
      return {};
    }));
    return entries;
  }
  // What the library would hold for the version of what was read: asked for where the read did not
  // say it.
  Validator validator_of(const ReadBytes& read, const std::string& path) {
    return read.validator ? *read.validator : stat(path).validator;
  }

  TempDir temp_;
  std::string tree_;
  std::unique_ptr<cachefiles::SimDisk> disk_;
  std::unique_ptr<Origin> inner_;  // of a journaled one
  std::unique_ptr<Origin> origin_;
  journal::JournaledOrigin* journaled_ = nullptr;  // if it is one
};

}  // namespace netfs::test
