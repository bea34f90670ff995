// Goal: what a process finds that opens a journal, is what was left there, whoever left it and in
// what state.

#include "journal/journal_scan.h"

#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "journal/test_log.h"

namespace netfs::journal {
namespace {

// Else the journal of a mount that nobody writes through grows with each kill, and each start takes
// longer than the one before.
TEST(JournalScan, ProcessesThatAreKilledBeforeTheyChangeAnythingLeaveNothing) {
  SimDisk disk;
  for (int process = 0; process < 5; ++process) {
    Opened opened = open_journal(disk);
    expect_records(opened, 1, process == 0 ? 0 : 3);
    if (process == 0) {
      for (int i = 0; i < 3; ++i) ASSERT_TRUE(put_next(*opened.log.value()).ok());
    }
    EXPECT_EQ(disk.files().size(), process == 0 ? 2U : 3U)
        << "the lock, what was changed, a new one";
    disk.crash_at(0);
    opened.log = Error(EIO, "killed");
    disk.restart(SimDisk::Lost::kProcess, 0);
  }
}

TEST(JournalScan, TheRoomThatAKilledProcessHadSetAsideIsGivenBack) {
  SimDisk disk;
  constexpr uint64_t kProcesses = 8;
  for (uint64_t process = 0; process < kProcesses; ++process) {
    Opened opened = open_journal(disk);
    expect_records(opened, 1, process);
    ASSERT_TRUE(put_next(*opened.log.value()).ok());
    disk.crash_at(0);
    opened.log = Error(EIO, "killed");
    disk.restart(SimDisk::Lost::kProcess, 0);
  }
  Opened opened = open_journal(disk);
  EXPECT_EQ(opened.log.value()->segments(), kProcesses + 1);
  EXPECT_LT(disk.allocated_bytes(), 2 * kSegmentBytesLeast);
}

// A disk may show zeroes that were written as a hole.
TEST(JournalScan, ARecordThatEndsInZeroesIsWhole) {
  SimDisk disk;
  const std::string data = "front" + std::string(100'000, '\0');
  for (uint64_t process = 0; process < 3; ++process) {
    Opened opened = open_journal(disk);
    ASSERT_TRUE(opened.log.ok());
    ASSERT_EQ(opened.records.size(), process);
    for (const auto& [record, place] : opened.records) {
      std::string there;
      ASSERT_TRUE(opened.log.value()->read(place, &there).ok());
      EXPECT_TRUE(there == data);
    }
    Record record{.kind = RecordKind::kWrite, .path = "f", .range = {0, data.size()}};
    ASSERT_TRUE(opened.log.value()->put(record, bytes_of(data)).ok());
    disk.crash_at(0);
    opened.log = Error(EIO, "killed");
    disk.restart(SimDisk::Lost::kProcess, 0);
  }
}

// Two processes that put so many records each and synced the first of them, and were killed.
constexpr uint64_t kRecordsEach = 60;
void leave_two_killed(SimDisk& disk, uint64_t seed) {
  for (int process = 0; process < 2; ++process) {
    Opened opened = open_journal(disk);
    ASSERT_TRUE(opened.log.ok());
    JournalLog& log = *opened.log.value();
    for (uint64_t i = 0; i < kRecordsEach; ++i) {
      ASSERT_TRUE(put_next(log).ok());
      if (i == seed) {
        ASSERT_TRUE(log.sync(log.last_sequence()).ok());
      }
    }
    disk.crash_at(0);
    opened.log = Error(EIO, "killed");
    disk.restart(SimDisk::Lost::kProcess, seed);
  }
}

// A segment that was made and never written to is named by the next one, and nothing more.
TEST(JournalScan, WhatIsSyncedBehindASegmentThatWasPassedOverEmptyIsThereAfterAPowerCut) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SimDisk disk;
    {
      Opened opened = open_journal(disk);
      ASSERT_TRUE(opened.log.ok());
      JournalLog& log = *opened.log.value();
      log.owe(3000);  // there is no room in the first
      ASSERT_TRUE(put_next(log).ok());
      ASSERT_GT(log.segments(), 1U);
      ASSERT_TRUE(log.sync(log.last_sequence()).ok());
      disk.crash_at(0);
      opened.log = Error(EIO, "the power goes");
      disk.restart(SimDisk::Lost::kPower, seed);
    }
    Opened opened = open_journal(disk);
    ASSERT_TRUE(opened.log.ok());
    EXPECT_EQ(opened.log.value()->damage(), "");
    expect_records(opened, 1, 1);
  }
}

// Nor is the name of what a killed process has never synced, before its records are.
TEST(JournalScan, ASyncWithoutAChangeKeepsWhatAKilledProcessNeverSynced) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (int processes = 1; processes <= 3; ++processes) {
      SimDisk disk;
      for (int process = 0; process < processes; ++process) {
        Opened opened = open_journal(disk);
        ASSERT_TRUE(opened.log.ok());
        for (int i = 0; i < 10; ++i) ASSERT_TRUE(put_next(*opened.log.value()).ok());
        disk.crash_at(0);
        opened.log = Error(EIO, "killed");
        disk.restart(SimDisk::Lost::kProcess, seed);
      }
      for (const bool syncs : {true, false}) {
        Opened opened = open_journal(disk);
        ASSERT_TRUE(opened.log.ok());
        EXPECT_EQ(opened.log.value()->damage(), "");
        // Without a sync it is a beginning of them.
        expect_records(opened, 1, opened.records.size());
        if (syncs) {
          EXPECT_EQ(opened.records.size(), 10U * processes);
        }
        JournalLog& log = *opened.log.value();
        if (syncs && seed % 2 == 0) {
          ASSERT_TRUE(log.sync(log.last_sequence()).ok());
        }
        disk.crash_at(0);
        opened.log = Error(EIO, "the power goes");
        disk.restart(SimDisk::Lost::kPower, seed);
      }
      Opened last = open_journal(disk);
      ASSERT_TRUE(last.log.ok());
      EXPECT_EQ(last.log.value()->damage(), "");
      if (seed % 2 == 0) {
        EXPECT_EQ(last.records.size(), 10U * processes);
      }
      expect_records(last, 1, last.records.size());
    }
  }
}

// Who takes over does not wait for the disk: what was synced is there, and the next sync is of all.
TEST(JournalScan, WhatKilledProcessesLeftIsAPrefixUntilItIsSyncedAndThenWhole) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (const bool syncs : {false, true}) {
      SimDisk disk;
      leave_two_killed(disk, seed);
      {
        Opened opened = open_journal(disk);
        ASSERT_TRUE(opened.log.ok());
        JournalLog& log = *opened.log.value();
        EXPECT_EQ(opened.records.size(), 2 * kRecordsEach);
        EXPECT_LE(log.durable_sequence(), kRecordsEach + seed + 1);
        if (syncs) {
          ASSERT_TRUE(log.sync(log.last_sequence()).ok());
          EXPECT_EQ(log.durable_sequence(), 2 * kRecordsEach);
        }
        disk.crash_at(0);
        opened.log = Error(EIO, "the power goes");
        disk.restart(SimDisk::Lost::kPower, seed);
      }
      Opened opened = open_journal(disk);
      ASSERT_TRUE(opened.log.ok()) << opened.log.error().message();
      EXPECT_EQ(opened.log.value()->damage(), "");
      EXPECT_GE(opened.records.size(), syncs ? 2 * kRecordsEach : kRecordsEach + seed + 1);
      expect_records(opened, 1, opened.records.size());
    }
  }
}

// What is at the start of a segment's file is put there by `spoil`.
Result<std::unique_ptr<JournalLog>> open_spoilt(
    SimDisk& disk, const std::function<void(cachefiles::DiskFile&)>& spoil) {
  {
    Opened opened = open_journal(disk);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(put_next(*opened.log.value()).ok());
    EXPECT_TRUE(opened.log.value()->sync(5).ok());
  }
  {
    // Another process, which has used the next segment.
    Opened opened = open_journal(disk);
    for (uint64_t i = 6; i <= 8; ++i) {
      EXPECT_TRUE(put_next(*opened.log.value()).ok());
      EXPECT_TRUE(opened.log.value()->sync(i).ok());
    }
  }
  spoil(*disk.open("volume/0000000000000002.segment", cachefiles::OpenMode::kReadWrite).value());
  return std::move(open_journal(disk).log);
}

TEST(JournalScan, AnotherFormatIsRefusedInWordsAndNothingOfItGoes) {
  SimDisk disk;
  const Result<std::unique_ptr<JournalLog>> opened =
      open_spoilt(disk, [](cachefiles::DiskFile& file) {
        ASSERT_TRUE(file.write(8, bytes_of(std::string_view("\x07\0\0\0", 4))).ok());
      });
  ASSERT_TRUE(opened.is_error(EPROTONOSUPPORT));
  const std::string said = opened.error().message();
  EXPECT_NE(said.find("format 7"), std::string::npos) << said;
  EXPECT_NE(said.find("netfs sync"), std::string::npos) << said;
  EXPECT_TRUE(has(disk, "volume/0000000000000001.segment"));
  EXPECT_TRUE(has(disk, "volume/0000000000000002.segment"));
}

TEST(JournalScan, ASegmentWhoseFirstRecordIsDamagedIsKeptAndSaid) {
  SimDisk disk;
  const Result<std::unique_ptr<JournalLog>> opened =
      open_spoilt(disk, [](cachefiles::DiskFile& file) {
        ASSERT_TRUE(file.write(kSegmentHeaderBytes + 20, bytes_of("x")).ok());
      });
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  EXPECT_NE(opened.value()->damage().find("damaged at change 6"), std::string::npos)
      << opened.value()->damage();
  EXPECT_EQ(opened.value()->last_sequence(), 5U);
  EXPECT_TRUE(has(disk, "volume/damaged-0000000000000002"));
}

TEST(JournalScan, WhatWaitsInAJournalCanBeAskedWithoutTouchingIt) {
  SimDisk disk;
  {
    Opened opened = open_journal(disk);
    ASSERT_TRUE(opened.log.ok());
    EXPECT_TRUE(holds_changes(disk, kDirectory, "key").is_error(EBUSY)) << "it is in use";
  }
  EXPECT_FALSE(holds_changes(disk, kDirectory, "key").value()) << "a segment, and nothing in it";
  {
    Opened opened = open_journal(disk);
    ASSERT_TRUE(put_next(*opened.log.value()).ok());
  }
  EXPECT_TRUE(holds_changes(disk, kDirectory, "key").value());
  {
    Opened opened = open_journal(disk);
    Record done{.kind = RecordKind::kDone, .upto = 1};
    ASSERT_TRUE(opened.log.value()->put(done).ok());
  }
  EXPECT_FALSE(holds_changes(disk, kDirectory, "key").value());
}

TEST(JournalScan, BelongsToOneAndToOneTree) {
  SimDisk disk;
  const auto ignore = [](const Record&, const RecordPlace&) {};
  Opened opened = open_journal(disk);
  ASSERT_TRUE(opened.log.ok());
  EXPECT_TRUE(open_journal(disk).log.is_error(EBUSY));
  opened.log = Error(EIO, "closed");
  EXPECT_TRUE(
      JournalLog::open({.disk = disk, .directory = kDirectory, .volume_key = "other"}, ignore)
          .is_error(EBADMSG));
}

}  // namespace
}  // namespace netfs::journal
