#pragma once
// JournalModel: a journal over a real folder whose link fails, whose process ends and starts anew,
// and into which somebody else may write; and the tree that it must look like.
//
//   begin(seed);
//   start();
//   set_link(30);
//   ASSERT_TRUE(change().ok());

#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <iostream>
#include <map>
#include <random>
#include <set>

#include "base/sanitizer.h"
#include "cachefiles/sim_disk.h"
#include "journal/journaled_origin.h"
#include "origins/module_loader.h"
#include "tests/origin-conformance/flaky_origin.h"
#include "tests/origin-conformance/waited_write.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"
#include "tests/support/wait.h"

namespace netfs::test {

using cachefiles::SimDisk;
using journal::JournaledOrigin;

inline const std::string kDirectory =
    "\x01"
    "directory";
using Plain = std::map<std::string, std::string>;  // path, and bytes

inline Deadline soon() {
  return Deadline::after(Clock::system(), std::chrono::seconds(60));
}

// As far as it stands still.
inline void add_on_disk(const std::string& tree, const std::string& directory, Plain& seen) {
  std::error_code gone;
  const std::string above = tree + "/" + directory;
  for (auto at = std::filesystem::directory_iterator(above, gone);
       !gone && at != std::filesystem::directory_iterator(); at.increment(gone)) {
    const std::string path = at->path().string().substr(above.size());
    const std::string whole = directory + (path[0] == '/' ? path.substr(1) : path);
    if (at->is_directory(gone)) {
      seen[whole] = kDirectory;
      add_on_disk(tree, whole + "/", seen);
    } else if (const auto bytes = read_whole(at->path()); bytes.ok()) {
      seen[whole] = bytes.value();
    }
  }
}
inline Plain on_disk(const std::string& tree) {
  Plain seen;
  add_on_disk(tree, "", seen);
  return seen;
}

inline bool lies_in(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

class JournalModel : public testing::Test {
 protected:
  static constexpr uint64_t kSeeds = NETFS_THREAD_SANITIZER ? 10 : 60;
  // For a longer search: others than those that always run.
  static uint64_t first_seed() {
    const char* asked = std::getenv("NETFS_FIRST_SEED");
    return asked == nullptr ? 1 : std::strtoull(asked, nullptr, 10);
  }

  void begin(uint64_t seed) {
    random_.seed(seed);
    origin_.reset();
    flaky_.reset();
    inner_.reset();
    disk_ = std::make_unique<SimDisk>();
    std::filesystem::remove_all(tree_);
    for (const char* directory : {"", "/d", "/d/e", "/g"}) {
      std::filesystem::create_directory(tree_ + directory);
    }
    for (const char* name : {"a", "b", "d/b", "d/e/c"}) {
      write_file(tree_ + "/" + name, "the origin's own " + std::string(name));
    }
    inner_ = origins::open_origin({.url = origins::Url::parse("file://" + tree_).value()}).value();
    flaky_ = std::make_unique<FlakyOrigin>(*inner_);
    before_ = users_ = on_disk(tree_);
    theirs_.clear();
    touched_.clear();
    moves_.clear();
  }

  void start() {
    origin_.reset();
    note("START");
    Result<std::unique_ptr<JournaledOrigin>> opened =
        JournaledOrigin::open({.inner = *flaky_,
                               .disk = *disk_,
                               .directory = "j",
                               .retry_first = std::chrono::microseconds(200),
                               .retry_max = std::chrono::milliseconds(1),
                               .sync_after = Duration(0),
                               .segment_bytes = 1 << 20});
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    origin_ = std::move(opened).value();
  }
  // As a process that is killed: nothing more goes out, and what the disk had not synced is there,
  // or with a power cut is not; all that was promised was synced.
  void end(SimDisk::Lost lost) {
    ASSERT_TRUE(origin_->writer()->sync_all(soon()).ok());
    flaky_->set_flaws([](const std::string&, const std::string&) { return Flaw::kBefore; });
    disk_->crash_at(random_() % 3);
    note(lost == SimDisk::Lost::kPower ? "POWER CUT" : "KILL");
    origin_.reset();
    disk_->restart(lost, random_());
    flaky_->set_flaws(flaws_);
    start();
  }
  void note(const std::string& what) { flaky_->note(what); }
  void TearDown() override {
    if (!HasFailure()) return;
    const std::vector<std::string> calls = flaky_->calls();
    for (size_t i = calls.size() - std::min<size_t>(calls.size(), 150); i < calls.size(); ++i) {
      std::cout << calls[i] << "\n";
    }
    // What fails says it before all that.
    const testing::TestResult& result =
        *testing::UnitTest::GetInstance()->current_test_info()->result();
    for (int i = 0; i < result.total_part_count(); ++i) {
      if (result.GetTestPartResult(i).failed())
        std::cout << result.GetTestPartResult(i).message() << "\n";
    }
  }
  // So many of a hundred calls fail.
  void set_link(unsigned failing) {
    flaws_ = [failing, random = std::make_shared<std::mt19937_64>(random_())](const std::string&,
                                                                              const std::string&) {
      if ((*random)() % 100 >= failing) return Flaw::kNone;
      return (*random)() % 2 == 0 ? Flaw::kBefore : Flaw::kAfter;
    };
    flaky_->set_flaws(flaws_);
  }

  std::string draw(const std::function<bool(const std::string&)>& fits) {
    std::vector<std::string> all;
    for (const auto& [path, bytes] : users_) {
      if (fits(path)) all.push_back(path);
    }
    return all.empty() ? "" : all[random_() % all.size()];
  }
  std::string draw_new(const Plain& tree) {
    std::vector<std::string> directories = {""};
    for (const auto& [path, bytes] : tree) {
      if (bytes == kDirectory) directories.push_back(path + "/");
    }
    return directories[random_() % directories.size()] +
           std::string(1, static_cast<char>('a' + random_() % 6));
  }
  bool is_file(const std::string& path) { return users_.at(path) != kDirectory; }
  // Somebody else was at it, above it or below it, by any of the names that it had in this round:
  // it may be moved here and not yet there.
  bool is_touched(const std::string& path) {
    if (is_touched_name(path)) return true;
    std::string name = path;
    for (auto moved = moves_.rbegin(); moved != moves_.rend(); ++moved) {
      const auto& [from, to] = *moved;
      if (name != to && !lies_in(name, to)) continue;
      name = from + name.substr(to.size());
      if (is_touched_name(name)) return true;
    }
    return false;
  }
  // Or perhaps at it by another way, for what is above it is moved here and not yet there.
  bool is_touched_name(const std::string& path) {
    const auto name_of = [](const std::string& one) { return one.substr(one.rfind('/') + 1); };
    for (const std::string& other : touched_) {
      if (name_of(path) == name_of(other)) return true;
      if (path == other || lies_in(path, other) || lies_in(other, path)) return true;
    }
    return false;
  }

  // One change of a user's; what it does to the model is undone if it is refused.
  Result<void> change() {
    const Plain before = users_;
    Result<void> done = attempt(*origin_->writer());
    if (!done.ok()) note("  refused");
    if (!done.ok()) users_ = before;
    return done;
  }
  Result<void> attempt(OriginWriter& writer) {
    const bool careful = !touched_.empty();
    const uint64_t what = random_() % 14;
    if (what < 3) {
      const std::string path = draw_new(users_);
      if (users_.contains(path) || is_touched(path)) return {};
      const bool directory = random_() % 3 == 0;
      users_[path] = directory ? kDirectory : "";
      const FileType type = directory ? FileType::kDirectory : FileType::kRegular;
      note((directory ? "USER mkdir " : "USER make ") + path);
      TRY(writer.make(path, {.type = type, .permissions = 0755}, soon()));
      return {};
    }
    if (what < 4 && !careful) return remove(writer);
    if (what < 7) return rename(writer, careful);
    const std::string path =
        draw([&](const std::string& one) { return is_file(one) && !is_touched(one); });
    if (path.empty()) return {};
    if (what < 8 && !careful) {
      const uint64_t size = random_() % 60;
      users_[path].resize(size, '\0');
      note("USER truncate " + path + " " + std::to_string(size));
      TRY(writer.set_attributes({.path = path}, {.size_bytes = size}, soon()));
      return {};
    }
    if (what < 9) {
      note("USER chmod " + path);
      TRY(writer.set_attributes({.path = path}, {.permissions = 0600 + random_() % 64}, soon()));
      return {};
    }
    return write(writer, path);
  }
  Result<void> remove(OriginWriter& writer) {
    const std::string path = draw([&](const std::string& one) {
      for (const auto& [other, bytes] : users_) {
        if (lies_in(other, one)) return false;
      }
      return true;
    });
    if (path.empty()) return {};
    const RemoveKind kind = is_file(path) ? RemoveKind::kFile : RemoveKind::kDirectory;
    users_.erase(path);
    note("USER remove " + path);
    return writer.remove(path, kind, soon());
  }
  Result<void> rename(OriginWriter& writer, bool careful) {
    const std::string from = draw([&](const std::string& one) { return !is_touched(one); });
    const std::string to = draw_new(users_);
    if (from.empty() || to == from || lies_in(to, from) || is_touched(to)) return {};
    const auto target = users_.find(to);
    const bool fits = target == users_.end() || (!careful && is_file(to) && is_file(from));
    if (!fits) return {};
    Plain moved;
    for (const auto& [path, bytes] : users_) {
      if (path == to) continue;
      const bool moves = path == from || lies_in(path, from);
      moved[moves ? to + path.substr(from.size()) : path] = bytes;
    }
    users_ = moved;
    moves_.emplace_back(from, to);
    note("USER rename " + from + " " + to);
    // What somebody else has put there may be seen, and then replaced.
    const RenameHow how = careful ? RenameHow::kNoReplace : RenameHow::kReplace;
    return writer.rename(from, to, how, soon());
  }
  Result<void> write(OriginWriter& writer, const std::string& path) {
    const std::string word = "<ours " + std::to_string(++words_) + ">";
    const uint64_t at = random_() % 50;
    std::string& bytes = users_[path];
    note("USER write " + path + " " + word);
    if (bytes.size() < at + word.size()) bytes.resize(at + word.size(), '\0');
    bytes.replace(at, word.size(), word);
    const OpenedFile opened = TRY(writer.open_for_writing(path, soon()));
    TRY(WaitedWrite(*opened.file, at, word).run(writer).transferred_bytes);
    return {};
  }

  // Somebody else changes something there, and not between a look of the uploader's and what it
  // does then: nobody can tell that.
  void meddle() {
    flaky_->close_gate();
    if (wait_until([&] { return flaky_->at_gate() || origin_->journal().status().pending == 0; },
                   std::chrono::milliseconds(500))) {
      change_theirs();
    }
    flaky_->open_gate();
  }
  void change_theirs() {
    const Plain there = on_disk(tree_);
    std::vector<std::string> files;
    for (const auto& [path, bytes] : there) {
      if (bytes != kDirectory) files.push_back(path);
    }
    const bool fresh = files.empty() || random_() % 4 == 0;
    const std::string path = fresh ? draw_new(there) : files[random_() % files.size()];
    if (path.empty() || (there.contains(path) && there.at(path) == kDirectory)) return;
    touched_.insert(path);
    note("THEY change " + path);
    // What they have seen they may write over, and what is theirs already.
    if (there.contains(path)) note_seen(there.at(path));
    if (!fresh && random_() % 5 == 0) {
      std::filesystem::remove(tree_ + "/" + path);
      return;
    }
    const std::string mark = "<theirs " + std::to_string(++words_) + ">";
    const std::string bytes = edited(path, there, mark);
    if (random_() % 2 == 0) std::filesystem::remove(tree_ + "/" + path);
    write_file(tree_ + "/" + path, bytes);
    theirs_[mark] = path;
  }
  // A version of theirs: of what is there, or was before, or of what users here have, nearly all.
  std::string edited(const std::string& path, const Plain& there, const std::string& mark) {
    std::string bytes = std::string(100, '.') + std::string(random_() % 40, '.');
    const std::vector<const Plain*> trees = {&there, &before_, &users_};
    const Plain& tree = *trees[random_() % trees.size()];
    const auto found = tree.find(path);
    if (random_() % 4 != 0 && found != tree.end() && found->second != kDirectory) {
      bytes = found->second;
    }
    if (bytes.size() < mark.size()) bytes.resize(mark.size(), '.');
    const size_t at = random_() % (bytes.size() - mark.size() + 1);
    // What they have written over they have seen.
    const size_t from = bytes.rfind('<', at);
    note_seen(bytes.substr(from == std::string::npos ? at : from, mark.size() * 3));
    bytes.replace(at, mark.size(), mark);
    return bytes;
  }
  void note_seen(const std::string& bytes) {
    for (size_t at = bytes.find('<'); at != std::string::npos; at = bytes.find('<', at + 1)) {
      const std::string word = bytes.substr(at, bytes.find('>', at) + 1 - at);
      seen_.insert(word);
      theirs_.erase(word);
    }
  }

  // What is in the model's files now, and nobody else has seen.
  std::set<std::string> words_of(const Plain& tree) {
    std::set<std::string> words;
    for (const auto& [path, bytes] : tree) {
      for (size_t at = bytes.find("<ours "); at != std::string::npos;
           at = bytes.find("<ours ", at + 1)) {
        const size_t end = bytes.find('>', at);
        if (end == std::string::npos ||
            bytes.substr(at + 1, end - at).find('<') != std::string::npos) {
          continue;
        }
        const std::string word = bytes.substr(at, end + 1 - at);
        if (!seen_.contains(word)) words.insert(word);
      }
    }
    return words;
  }
  std::string set_aside() {
    auto file = disk_->open("j/set-aside", cachefiles::OpenMode::kRead);
    if (!file.ok()) return "";
    std::string bytes(file.value()->stat().value().size_bytes, '\0');
    (void)file.value()->read(0, std::as_writable_bytes(std::span(bytes.data(), bytes.size())));
    return bytes;
  }
  void expect_settled() {
    set_link(0);
    if (random_() % 2 == 0) start();
    ASSERT_TRUE(origin_->journal().drain(soon())) << origin_->journal().status().last_error;
  }
  // Users see what is there.
  void expect_seen(const std::string& directory, Plain& seen) {
    std::vector<OriginEntry> entries;
    const Result<void> listed = origin_->list(directory, soon(), [&](OriginEntry entry) {
      entries.push_back(std::move(entry));
      return Result<void>();
    });
    ASSERT_TRUE(listed.ok()) << directory << ": " << listed.error().message();
    for (const OriginEntry& entry : entries) {
      const std::string path = directory.empty() ? entry.name : directory + "/" + entry.name;
      if (entry.info.attributes.type == FileType::kDirectory) {
        seen[path] = kDirectory;
        expect_seen(path, seen);
      } else {
        const Result<std::string> bytes = read_file(*origin_, path);
        ASSERT_TRUE(bytes.ok()) << path << ": " << bytes.error().message();
        seen[path] = bytes.value();
      }
    }
  }

  TempDir temp_;
  const std::string tree_ = temp_.make_dir("tree");
  std::mt19937_64 random_;
  std::unique_ptr<SimDisk> disk_;
  std::unique_ptr<Origin> inner_;
  std::unique_ptr<FlakyOrigin> flaky_;
  std::unique_ptr<JournaledOrigin> origin_;
  FlakyOrigin::Asked flaws_;
  Plain users_;
  Plain before_;                               // what was there when all was done
  std::map<std::string, std::string> theirs_;  // a word of each version, and where it was put
  std::set<std::string> touched_;
  std::vector<std::pair<std::string, std::string>> moves_;  // of this round, from and to
  std::set<std::string> seen_;
  uint64_t words_ = 0;
};

}  // namespace netfs::test
