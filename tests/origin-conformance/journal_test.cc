// Goal: a journal over a real origin: users see what they did, whatever has come there; after a
// kill or a power cut at any moment they see a prefix of it with all that was synced; and in the
// end it is there, once.  Method: random changes through JournaledOrigin over a local folder, its
// journal on SimDisk, against a plain tree.

#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <sys/stat.h>

#include "cachefiles/sim_disk.h"
#include "journal/journaled_origin.h"
#include "netfs/testing/simulated_origin.h"
#include "origins/module_loader.h"
#include "tests/origin-conformance/reads.h"
#include "tests/origin-conformance/waited_write.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

using cachefiles::SimDisk;
using journal::JournaledOrigin;

// What a directory is told by.
const std::string kDirectory =
    "\x01"
    "directory";

using Plain = std::map<std::string, std::string>;  // path, and bytes

Deadline soon() {
  return Deadline::after(Clock::system(), std::chrono::seconds(60));
}

Result<void> show(Origin& origin, const std::string& directory, Plain& seen) {
  std::vector<OriginEntry> entries;
  TRY(origin.list(directory, soon(), [&](OriginEntry entry) {
    entries.push_back(std::move(entry));
    return Result<void>();
  }));
  for (size_t i = 0; i < entries.size(); ++i) {
    const OriginEntry& entry = entries[i];
    const std::string path = directory.empty() ? entry.name : directory + "/" + entry.name;
    EXPECT_TRUE(i == 0 || entries[i - 1].name < entry.name) << "not by name, or twice: " << path;
    const NodeInfo info = TRY(origin.stat(path, soon()));
    EXPECT_EQ(info.attributes.type, entry.info.attributes.type) << path;
    if (info.attributes.type == FileType::kDirectory) {
      seen[path] = kDirectory;
      TRY(show(origin, path, seen));
    } else {
      seen[path] = TRY(read_file(origin, path));
      EXPECT_EQ(info.attributes.size_bytes, seen[path].size()) << path;
    }
  }
  return {};
}

Plain on_disk(const std::string& tree) {
  Plain seen;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(tree)) {
    const std::string path = entry.path().string().substr(tree.size() + 1);
    seen[path] = entry.is_directory() ? kDirectory : read_whole(entry.path()).value();
  }
  return seen;
}

bool lies_in(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

// Random changes to an origin and to a plain tree.
class Changer {
 public:
  Changer(Plain start, uint64_t seed) : random_(seed), tree_(std::move(start)) {}

  [[nodiscard]] const Plain& tree() const { return tree_; }
  std::mt19937_64& random() { return random_; }

  // One change to both; the error of the origin's, and the tree stays as it was.  `tree_`: what it
  // is like if the change is made.
  Result<void> change(OriginWriter& writer) {
    const Plain before = tree_;
    Result<void> done = attempt(writer);
    next_ = tree_;
    if (!done.ok()) tree_ = before;
    return done;
  }
  // What the tree would be like if the change that failed was made nevertheless.
  [[nodiscard]] const Plain& next() const { return next_; }
  void accept(const Plain& tree) { tree_ = tree; }

 private:
  std::string draw(bool files_only) {
    std::vector<std::string> all;
    for (const auto& [path, bytes] : tree_) {
      if (!files_only || bytes != kDirectory) all.push_back(path);
    }
    return all.empty() ? "" : all[random_() % all.size()];
  }
  std::string draw_new() {
    std::vector<std::string> directories = {""};
    for (const auto& [path, bytes] : tree_) {
      if (bytes == kDirectory) directories.push_back(path + "/");
    }
    return directories[random_() % directories.size()] +
           std::string(1, static_cast<char>('a' + random_() % 6));
  }

  Result<void> attempt(OriginWriter& writer) {
    const uint64_t what = random_() % 12;
    if (what < 3) return make(writer);
    const std::string path = draw(what >= 7);
    if (path.empty()) return {};
    if (what < 4) return remove(writer, path);
    if (what < 7) return rename(writer, path);
    return rewrite(writer, path);
  }
  Result<void> make(OriginWriter& writer) {
    const std::string path = draw_new();
    if (tree_.contains(path)) {
      EXPECT_EQ(writer.create(path, {}, soon()).code(), EEXIST) << path;
      return {};
    }
    if (random_() % 3 == 0) {
      tree_[path] = kDirectory;
      TRY(writer.make(path, {.type = FileType::kDirectory, .permissions = 0755}, soon()));
      return {};
    }
    tree_[path] = "";
    TRY(writer.make(path, {.permissions = 0644}, soon()));
    return {};
  }
  Result<void> remove(OriginWriter& writer, const std::string& path) {
    const bool directory = tree_[path] == kDirectory;
    const RemoveKind kind = directory ? RemoveKind::kDirectory : RemoveKind::kFile;
    for (const auto& [other, bytes] : tree_) {
      if (!lies_in(other, path)) continue;
      EXPECT_EQ(writer.remove(path, kind, soon()).code(), ENOTEMPTY) << path;
      return {};
    }
    tree_.erase(path);
    return writer.remove(path, kind, soon());
  }
  Result<void> rename(OriginWriter& writer, const std::string& from) {
    const std::string to = draw_new();
    if (to == from || lies_in(to, from)) return {};
    const auto target = tree_.find(to);
    const bool fits =
        target == tree_.end() || (target->second != kDirectory && tree_[from] != kDirectory);
    if (!fits) return {};
    // What is replaced may live on by another name.
    std::string kept = "k" + std::to_string(random_() % 1000);
    if (to.find('/') != std::string::npos) kept = to.substr(0, to.rfind('/') + 1) + kept;
    const bool keeps = target != tree_.end() && !tree_.contains(kept) && random_() % 2 == 0;
    Plain moved;
    if (keeps) moved[kept] = target->second;
    for (const auto& [path, bytes] : tree_) {
      if (path == to) continue;
      const bool moves = path == from || lies_in(path, from);
      moved[moves ? to + path.substr(from.size()) : path] = bytes;
    }
    tree_ = moved;
    if (keeps) {
      const Result<bool> replaced = writer.replace(from, to, kept, soon());
      return replaced.ok() ? Result<void>() : replaced.error();
    }
    return writer.rename(from, to, RenameHow::kReplace, soon());
  }
  Result<void> rewrite(OriginWriter& writer, const std::string& path) {
    std::string& bytes = tree_[path];
    if (random_() % 3 == 0) {
      const uint64_t size = random_() % 60;
      bytes.resize(size, '\0');
      TRY(writer.set_attributes({.path = path}, {.size_bytes = size}, soon()));
      return {};
    }
    const std::string data(1 + random_() % 30, static_cast<char>('A' + random_() % 26));
    const uint64_t at = random_() % 40;
    if (bytes.size() < at + data.size()) bytes.resize(at + data.size(), '\0');
    bytes.replace(at, data.size(), data);
    const OpenedFile opened = TRY(writer.open_for_writing(path, soon()));
    const WriteOutcome outcome = WaitedWrite(*opened.file, at, data).run(writer);
    if (outcome.transferred_bytes.ok()) {
      EXPECT_EQ(outcome.transferred_bytes.value(), data.size());
      return {};
    }
    return outcome.transferred_bytes.error();
  }

  std::mt19937_64 random_;
  Plain tree_;
  Plain next_;
};

class JournalOverFolder : public testing::Test {
 protected:
  void begin(uint64_t seed) {
    std::filesystem::remove_all(tree_);
    for (const char* directory : {"", "/d", "/d/e"}) {
      std::filesystem::create_directory(tree_ + directory);
    }
    for (const char* name : {"a", "d/b", "d/e/c"}) {
      write_file(tree_ + "/" + name, "the origin's own " + std::string(name));
    }
    inner_.reset();
    inner_ = origins::open_origin({.url = origins::Url::parse("file://" + tree_).value()}).value();
    changer_.emplace(on_disk(tree_), seed);
  }
  Result<std::unique_ptr<JournaledOrigin>> open(SimDisk& disk, bool uploads = true) {
    return JournaledOrigin::open({.inner = *inner_,
                                  .disk = disk,
                                  .directory = "j",
                                  .retry_first = std::chrono::milliseconds(1),
                                  .retry_max = std::chrono::milliseconds(2),
                                  .sync_after = Duration(0),
                                  .segment_bytes = 1 << 20,
                                  .uploads = uploads});
  }
  void expect_seen(Origin& origin, const Plain& want) {
    Plain seen;
    const Result<void> shown = show(origin, "", seen);
    ASSERT_TRUE(shown.ok()) << shown.error().message();
    ASSERT_EQ(seen, want);
  }

  TempDir temp_;
  const std::string tree_ = temp_.make_dir("tree");
  std::unique_ptr<Origin> inner_;
  std::optional<Changer> changer_;
};

TEST_F(JournalOverFolder, UsersSeeWhatTheyDidAndInTheEndItIsThere) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    begin(seed);
    SimDisk disk;
    for (int start = 0; start < 3; ++start) {
      Result<std::unique_ptr<JournaledOrigin>> origin = open(disk, start != 1);
      ASSERT_TRUE(origin.ok()) << origin.error().message();
      expect_seen(*origin.value(), changer_->tree());
      for (int i = 0; i < 30; ++i) {
        const Result<void> done = changer_->change(*origin.value()->writer());
        ASSERT_TRUE(done.ok()) << done.error().message() << " " << done.error().context();
        if (i % 6 == 0) expect_seen(*origin.value(), changer_->tree());
        if (HasFatalFailure()) return;
      }
      if (start != 1) {
        ASSERT_TRUE(origin.value()->journal().drain(soon()));
      }
      expect_seen(*origin.value(), changer_->tree());
      EXPECT_EQ(origin.value()->journal().status().conflicts, 0U);
      EXPECT_EQ(origin.value()->journal().status().set_aside, 0U);
      if (start != 1) {
        ASSERT_EQ(on_disk(tree_), changer_->tree());
      }
    }
  }
}

// Runs until the disk dies, and on a new one until all is there.
TEST_F(JournalOverFolder, AKillOrAPowerCutAtAnyMomentLeavesAPrefixWithAllThatWasSynced) {
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    for (const SimDisk::Lost lost : {SimDisk::Lost::kNothing, SimDisk::Lost::kPower}) {
      SCOPED_TRACE("seed " + std::to_string(seed) +
                   (lost == SimDisk::Lost::kPower ? " power" : ""));
      begin(seed);
      SimDisk disk;
      std::vector<Plain> history = {changer_->tree()};
      size_t synced = 0;
      {
        Result<std::unique_ptr<JournaledOrigin>> origin = open(disk, seed % 3 != 0);
        ASSERT_TRUE(origin.ok());
        OriginWriter& writer = *origin.value()->writer();
        disk.crash_at(changer_->random()() % 200);
        for (int i = 0; i < 60 && !disk.dead(); ++i) {
          const Result<void> done = changer_->change(writer);
          if (!done.ok()) {
            history.push_back(changer_->next());
            break;
          }
          history.push_back(changer_->tree());
          if (i % 5 == 0 && writer.sync_all(soon()).ok()) synced = history.size() - 1;
        }
      }
      disk.restart(lost, seed);
      Result<std::unique_ptr<JournaledOrigin>> origin = open(disk);
      ASSERT_TRUE(origin.ok()) << origin.error().message();
      ASSERT_TRUE(origin.value()->journal().drain(soon()));
      const Plain there = on_disk(tree_);
      bool prefix = false;
      for (size_t i = synced; i < history.size(); ++i) prefix = prefix || there == history[i];
      EXPECT_TRUE(prefix) << "synced " << synced << " of " << history.size() - 1;
      if (!prefix) {
        EXPECT_EQ(there, history.back());
      }
      expect_seen(*origin.value(), there);
      const journal::JournalStatus status = origin.value()->journal().status();
      EXPECT_EQ(status.conflicts, 0U);
      EXPECT_EQ(status.set_aside, 0U);
      if (HasFailure()) return;
    }
  }
}

TEST_F(JournalOverFolder, BothAreKeptWhenSomebodyElseChangedTheFile) {
  begin(1);
  SimDisk disk;
  {
    const std::unique_ptr<JournaledOrigin> origin = open(disk, false).value();
    const OpenedFile file = origin->writer()->open_for_writing("a", soon()).value();
    ASSERT_TRUE(WaitedWrite(*file.file, 0, "ours").run(*origin->writer()).transferred_bytes.ok());
    ASSERT_TRUE(origin->writer()->create("new", {.permissions = 0644}, soon()).ok());
    ASSERT_TRUE(origin->writer()->remove("d/b", RemoveKind::kFile, soon()).ok());
  }
  write_file(tree_ + "/a", "theirs");
  write_file(tree_ + "/new", "theirs too");
  write_file(tree_ + "/d/b", "changed");
  const std::unique_ptr<JournaledOrigin> origin = open(disk).value();
  ASSERT_TRUE(origin->journal().drain(soon()));
  const Plain there = on_disk(tree_);
  EXPECT_EQ(there.at("a"), "theirs");
  EXPECT_EQ(there.at("a.netfs-conflict-1"), "oursrs");
  EXPECT_EQ(there.at("new"), "theirs too");
  EXPECT_EQ(there.at("new.netfs-conflict-1"), "");
  EXPECT_EQ(there.at("d/b"), "changed");
  EXPECT_EQ(origin->journal().status().conflicts, 3U);
  expect_seen(*origin, there);
}

TEST_F(JournalOverFolder, WhatTheOriginWillNotTakeIsSetAsideAndTheRestGoesOn) {
  begin(1);
  SimDisk disk;
  {
    const std::unique_ptr<JournaledOrigin> origin = open(disk, false).value();
    OriginWriter& writer = *origin->writer();
    const OpenedFile file = writer.create("d/x", {.permissions = 0644}, soon()).value();
    ASSERT_TRUE(WaitedWrite(*file.file, 0, "ours").run(writer).transferred_bytes.ok());
    ASSERT_TRUE(writer.create("after", {.permissions = 0644}, soon()).ok());
  }
  std::filesystem::remove_all(tree_ + "/d");
  write_file(tree_ + "/d", "now a file");
  const std::unique_ptr<JournaledOrigin> origin = open(disk).value();
  ASSERT_TRUE(origin->journal().drain(soon()));
  EXPECT_EQ(on_disk(tree_),
            (Plain{{"a", "the origin's own a"}, {"after", ""}, {"d", "now a file"}}));
  EXPECT_EQ(origin->journal().status().set_aside, 2U);
  const std::vector<std::string> files = disk.files();
  EXPECT_NE(std::find(files.begin(), files.end(), "j/set-aside"), files.end());
  expect_seen(*origin, on_disk(tree_));
}

TEST(JournalOverAway, AnOriginThatIsAwayIsTriedAgainUntilItIsBack) {
  SimulatedOrigin inner({.write = WriteCapabilities{}});
  inner.add_file("f", "0123456789");
  SimDisk disk;
  const std::unique_ptr<JournaledOrigin> origin =
      JournaledOrigin::open({.inner = inner,
                             .disk = disk,
                             .directory = "j",
                             .retry_first = std::chrono::milliseconds(1),
                             .retry_max = std::chrono::milliseconds(2)})
          .value();
  OriginWriter& writer = *origin->writer();
  const OpenedFile file = writer.open_for_writing("f", soon()).value();
  inner.set_metadata_error(ENOTCONN);
  ASSERT_TRUE(WaitedWrite(*file.file, 3, "abc").run(writer).transferred_bytes.ok());
  EXPECT_TRUE(writer.sync_all(soon()).ok()) << "that is a matter of the disk here";
  EXPECT_EQ(origin->stat("f", soon()).value().attributes.size_bytes, 10U);
  const auto has_failed = [&] { return origin->journal().status().last_error != ""; };
  EXPECT_TRUE(wait_until(has_failed, std::chrono::seconds(60)));
  EXPECT_FALSE(
      origin->journal().drain(Deadline::after(Clock::system(), std::chrono::milliseconds(50))));
  EXPECT_EQ(inner.content("f"), "0123456789");
  EXPECT_EQ(origin->journal().status().pending, 1U);
  inner.set_metadata_error(0);
  EXPECT_TRUE(origin->journal().drain(soon()));
  EXPECT_EQ(inner.content("f"), "012abc6789");
  EXPECT_EQ(origin->journal().status().last_error, "");
}

TEST_F(JournalOverFolder, ANameThatSomebodyElseRemovedCanBeMadeAnew) {
  begin(1);
  SimDisk disk;
  const std::unique_ptr<JournaledOrigin> origin = open(disk).value();
  OriginWriter& writer = *origin->writer();
  ASSERT_TRUE(writer.create("new", {.permissions = 0644}, soon()).ok());
  ASSERT_TRUE(origin->journal().drain(soon()));
  std::filesystem::remove(tree_ + "/new");
  EXPECT_TRUE(origin->stat("new", soon()).is_error(ENOENT));
  EXPECT_TRUE(writer.create("new", {.permissions = 0644}, soon()).ok());
  ASSERT_TRUE(origin->journal().drain(soon()));
  EXPECT_TRUE(on_disk(tree_).contains("new"));
}

TEST_F(JournalOverFolder, OurOwnUploadIsNoChangeToWhoeverLooksAtValidators) {
  begin(1);
  SimDisk disk;
  const std::unique_ptr<JournaledOrigin> origin = open(disk).value();
  const OpenedFile file = origin->writer()->create("f", {.permissions = 0644}, soon()).value();
  const WriteOutcome first = WaitedWrite(*file.file, 0, "bytes").run(*origin->writer());
  ASSERT_TRUE(first.seen.before && first.seen.after);
  EXPECT_EQ(*first.seen.before, file.info.validator);
  const Validator shown = first.seen.after->validator;
  EXPECT_FALSE(shown == file.info.validator);
  ASSERT_TRUE(origin->journal().drain(soon()));
  const NodeInfo after = origin->stat("f", soon()).value();
  EXPECT_EQ(after.validator, shown);
  EXPECT_EQ(after.attributes.mtime, first.seen.after->attributes.mtime);
  EXPECT_FALSE(inner_->stat("f", soon()).value().validator == shown);
  write_file(tree_ + "/f", "somebody else's");
  EXPECT_FALSE(origin->stat("f", soon()).value().validator == shown);
}

}  // namespace
}  // namespace netfs::test
