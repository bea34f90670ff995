// Goal: two netfs of one layout that differ in additions go on with the journal that the other one
// leaves, as far as those may be ignored; and what must not be is refused, and nothing of it goes.

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "cachefiles/sim_disk.h"
#include "journal/journal_log.h"
#include "journal/journal_scan.h"

namespace netfs::journal {
namespace {

constexpr char kJournalFolder[] = "volume";
// This netfs, and in the second test others that know bits which it does not.
constexpr JournalForm kOlder = kJournalForm;
static_assert(kOlder.incompatible == 1 && kOlder.compatible == 0);
// A kind of record that the older one does not know.
constexpr auto kNote = static_cast<RecordKind>(kFirstAddition + 2);

class JournalForms : public testing::Test {
 protected:
  struct Use {
    std::vector<std::string> paths;  // of the changes that are there
    Result<std::unique_ptr<JournalLog>> log = Error(EIO, "not opened");
  };
  Use open(JournalForm form) {
    Use use;
    use.log = JournalLog::open({.disk = disk_,
                                .directory = kJournalFolder,
                                .volume_key = "key",
                                .sync_after = Duration(0),
                                .segment_bytes = kSegmentBytesLeast,
                                .form = form},
                               [&](const Record& record, const RecordPlace&) {
                                 EXPECT_TRUE(is_change(record.kind));
                                 use.paths.push_back(record.path);
                               });
    return use;
  }
  // All that was put is there; puts one more.
  void put_behind_all(JournalForm form) {
    const Use use = open(form);
    ASSERT_TRUE(use.log.ok()) << use.log.error().message();
    EXPECT_EQ(use.paths, put_);
    EXPECT_EQ(use.log.value()->damage(), "");
    put_.push_back("f" + std::to_string(put_.size()));
    Record change{.kind = RecordKind::kRemove, .path = put_.back()};
    ASSERT_TRUE(use.log.value()->put(change).ok());
    if (form.compatible == 0) return;
    Record note{.kind = kNote, .path = "what only the newer one knows"};
    ASSERT_TRUE(use.log.value()->put(note, bytes_of(std::string_view("of it"))).ok());
  }

  cachefiles::SimDisk disk_;
  std::vector<std::string> put_;
};

TEST_F(JournalForms, TwoThatDifferInWhatMayBeIgnoredGoOnWithWhatTheOtherLeaves) {
  constexpr JournalForm kNewer{.incompatible = 1, .compatible = 1};
  for (int i = 0; i < 3; ++i) {
    ASSERT_NO_FATAL_FAILURE(put_behind_all(kOlder));
    ASSERT_NO_FATAL_FAILURE(put_behind_all(kNewer));
    ASSERT_NO_FATAL_FAILURE(put_behind_all(kNewer));
  }
  ASSERT_NO_FATAL_FAILURE(put_behind_all(kOlder));
  EXPECT_TRUE(holds_changes(disk_, kJournalFolder, "key").value());
}

TEST_F(JournalForms, WhatMustNotBeIgnoredIsRefusedInALineAndNothingOfItGoes) {
  constexpr JournalForm kNewer{.incompatible = 3, .compatible = 0};
  ASSERT_NO_FATAL_FAILURE(put_behind_all(kOlder));
  ASSERT_NO_FATAL_FAILURE(put_behind_all(kNewer));  // it knows all that the older one writes
  const std::vector<std::string> files = disk_.files();
  const Use refused = open(kOlder);
  ASSERT_TRUE(refused.log.is_error(EPROTONOSUPPORT));
  const std::string said = refused.log.error().message();
  EXPECT_NE(said.find("netfs sync"), std::string::npos) << said;
  EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  EXPECT_TRUE(holds_changes(disk_, kJournalFolder, "key").is_error(EPROTONOSUPPORT));
  EXPECT_EQ(disk_.files(), files);
  ASSERT_NO_FATAL_FAILURE(put_behind_all(kNewer));
  EXPECT_TRUE(open({.incompatible = 5, .compatible = 0}).log.is_error(EPROTONOSUPPORT));
  ASSERT_NO_FATAL_FAILURE(put_behind_all({.incompatible = 7, .compatible = 0}));
}

}  // namespace
}  // namespace netfs::journal
