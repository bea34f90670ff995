// Goal: whatever moment the power goes, what is there is a prefix of what was appended, and all
// that was synced is in it; and what no power cut explains is told.  Method: a journal on SimDisk,
// cut at every change in turn.

#include "journal/journal_log.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <gtest/gtest.h>
#include <optional>
#include <poll.h>
#include <string>
#include <vector>

#include "base/manual_clock.h"
#include "base/sanitizer.h"
#include "journal/test_log.h"
#include "sync/thread.h"

namespace netfs::journal {
namespace {

TEST(JournalLog, WhatWasAppendedIsThereAtTheNextOpening) {
  SimDisk disk;
  uint64_t first = 0;
  {
    Opened opened = open_journal(disk);
    ASSERT_TRUE(opened.log.ok()) << opened.log.error().message();
    first = opened.log.value()->generation();
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(put_next(*opened.log.value()).ok());
    EXPECT_GT(opened.log.value()->segments(), 1U);
  }
  Opened again = open_journal(disk);
  expect_records(again, 1, 100);
  EXPECT_GT(again.log.value()->generation(), first);
  EXPECT_EQ(again.log.value()->damage(), "");
  EXPECT_EQ(again.log.value()->last_sequence(), 100U);
}

// A process that dies leaves no record behind one that it had not written.
TEST(JournalLog, WhoWaitsForAllWaitsForThoseOfOthersBeforeHis) {
  SimDisk disk;
  Opened opened = open_journal(disk);
  ASSERT_TRUE(opened.log.ok());
  JournalLog& log = *opened.log.value();
  struct One {
    Record record{.kind = RecordKind::kWrite, .path = "f"};
    std::string body;
    std::optional<RecordPlace> place;
  };
  One first;
  One second;
  for (One* one : {&first, &second}) {
    one->body = encode_body(one->record);
    JournalLog::Room room = MUST(log.make_room(record_bytes(one->body.size(), 0)));
    one->place = log.append(room, one->record, one->body.size(), 0);
  }
  ASSERT_TRUE(log.write(*second.place, second.record, second.body, {}).ok());
  std::atomic<bool> answered{false};
  sync::Thread thread("second", [&] {
    EXPECT_TRUE(log.wait_for_all(second.place->sequence).ok());
    answered = true;
  });
  ::poll(nullptr, 0, 50);
  EXPECT_FALSE(answered.load());
  ASSERT_TRUE(log.write(*first.place, first.record, first.body, {}).ok());
  thread.join();
  EXPECT_TRUE(answered.load());
}

TEST(JournalLog, ASegmentThatIsDoneWithGoesAndTheRestStays) {
  SimDisk disk;
  {
    Opened opened = open_journal(disk);
    ASSERT_TRUE(opened.log.ok());
    JournalLog& log = *opened.log.value();
    const RecordPlace first = put_next(log).value();
    for (int i = 1; i < 300; ++i) ASSERT_TRUE(put_next(log).ok());
    const uint64_t segments = log.segments();
    ASSERT_GT(segments, 2U);
    const size_t files = disk.files().size();
    log.release(first.sequence);
    EXPECT_EQ(log.segments(), segments) << "there is more in it";
    log.release(first.segment->last_sequence);
    EXPECT_EQ(log.segments(), segments - 1);
    EXPECT_EQ(disk.files().size(), files - 1);
    std::string data;
    EXPECT_TRUE(log.read(first, &data).ok()) << "whoever holds it reads it still";
  }
  Opened again = open_journal(disk);
  ASSERT_TRUE(again.log.ok());
  ASSERT_FALSE(again.records.empty());
  const uint64_t first = again.records.front().first.sequence;
  EXPECT_GT(first, 1U);
  expect_records(again, first, 300 - first + 1);
}

// Runs until the disk dies; tells what was promised.
void run_until_dead(SimDisk& disk, uint64_t& synced, uint64_t& appended) {
  Opened opened = open_journal(disk);
  if (!opened.log.ok()) return;
  JournalLog& log = *opened.log.value();
  for (int i = 0; i < 120 && !disk.dead(); ++i) {
    const Result<RecordPlace> place = put_next(log);
    // One that failed may be there nevertheless.
    appended = log.last_sequence();
    if (!place.ok()) break;
    if (i % 5 == 4 && log.sync(place.value().sequence).ok()) synced = place.value().sequence;
  }
}

TEST(JournalLog, APowerCutAtAnyMomentLeavesAPrefixWithAllThatWasSynced) {
  const uint64_t thinner = NETFS_THREAD_SANITIZER ? 10 : 1;
  uint64_t changes = 0;
  {
    SimDisk disk;
    uint64_t synced = 0;
    uint64_t appended = 0;
    run_until_dead(disk, synced, appended);
    ASSERT_EQ(appended, 120U);
    changes = disk.changes();
  }
  for (const SimDisk::Lost lost : {SimDisk::Lost::kPower, SimDisk::Lost::kNothing}) {
    for (uint64_t cut = 0; cut < changes; cut += thinner) {
      SCOPED_TRACE("cut " + std::to_string(cut));
      SimDisk disk;
      disk.crash_at(cut);
      uint64_t synced = 0;
      uint64_t appended = 0;
      run_until_dead(disk, synced, appended);
      disk.restart(lost, cut);
      uint64_t there = 0;
      {
        Opened after = open_journal(disk);
        ASSERT_TRUE(after.log.ok()) << after.log.error().message();
        EXPECT_EQ(after.log.value()->damage(), "");
        there = after.records.size();
        ASSERT_GE(there, synced);
        ASSERT_LE(there, appended);
        if (lost == SimDisk::Lost::kNothing) {
          ASSERT_GE(there + 1, appended);
        }
        expect_records(after, 1, there);
        // It goes on from there, and stays right over another cut.
        for (int i = 0; i < 3; ++i) ASSERT_TRUE(put_next(*after.log.value()).ok());
        ASSERT_TRUE(after.log.value()->sync(there + 3).ok());
      }
      disk.restart(SimDisk::Lost::kPower, cut + 1);
      Opened last = open_journal(disk);
      expect_records(last, 1, there + 3);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(JournalLog, DamageThatNoPowerCutExplainsIsToldAndNothingBehindItIsThere) {
  SimDisk disk;
  std::vector<RecordPlace> places;
  {
    Opened opened = open_journal(disk, 32 << 20);
    ASSERT_TRUE(opened.log.ok());
    for (int i = 0; i < 20; ++i) {
      places.push_back(put_next(*opened.log.value()).value());
      ASSERT_TRUE(opened.log.value()->sync(places.back().sequence).ok());
    }
  }
  const std::string path = places[0].segment->path;
  disk.flip(path, (places[9].offset + kRecordHeaderBytes + 3) * 8);
  {
    Opened damaged = open_journal(disk, 32 << 20);
    expect_records(damaged, 1, 9);
    EXPECT_NE(damaged.log.value()->damage().find("damaged at change 10; 10 changes"),
              std::string::npos)
        << damaged.log.value()->damage();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(put_next(*damaged.log.value()).ok());
    damaged.log.value()->release(9);
  }
  EXPECT_FALSE(has(disk, path));
  EXPECT_TRUE(has(disk, "volume/damaged-0000000000000001"))
      << "what could not be read is kept for a person to look at";
  Opened again = open_journal(disk, 32 << 20);
  expect_records(again, 10, 3);
  EXPECT_EQ(again.log.value()->damage(), "");
}

TEST(JournalLog, AFullDiskIsSaidBeforeAnythingIsRecorded) {
  SimDisk disk;
  uint64_t taken = 0;
  {
    Opened opened = open_journal(disk);
    ASSERT_TRUE(opened.log.ok());
    JournalLog& log = *opened.log.value();
    disk.set_capacity(disk.allocated_bytes() + (1 << 20) + 4096);
    Result<RecordPlace> place = put_next(log);
    for (; place.ok(); place = put_next(log)) ++taken;
    EXPECT_TRUE(place.is_error(ENOSPC));
    EXPECT_GT(taken, 20U);
    EXPECT_EQ(log.last_sequence(), taken);
    EXPECT_TRUE(log.sync(taken).ok());
    Record progress{.kind = RecordKind::kBegin, .upto = taken};
    EXPECT_TRUE(log.put(progress, {}, JournalLog::For::kProgress).ok())
        << "what is uploaded can still be written down";
    disk.set_capacity(UINT64_MAX);
    EXPECT_TRUE(put_next(log).ok()) << "it goes on when there is room";
  }
  Opened again = open_journal(disk);
  EXPECT_EQ(again.records.size(), taken + 2);
}

TEST(JournalLog, AWriteThatFailsEndsEveryPromiseUntilItIsOpenedAgain) {
  SimDisk disk;
  {
    Opened opened = open_journal(disk);
    ASSERT_TRUE(opened.log.ok());
    JournalLog& log = *opened.log.value();
    ASSERT_TRUE(put_next(log).ok());
    disk.set_fault([](SimDisk::Call call, const std::string&) {
      return call == SimDisk::Call::kSync ? EIO : 0;
    });
    EXPECT_TRUE(log.sync(1).is_error(EIO));
    disk.set_fault({});
    EXPECT_TRUE(log.sync(1).is_error(EIO)) << "what the disk dropped it does not say twice";
    EXPECT_TRUE(put_next(log).is_error(EIO));
  }
  Opened again = open_journal(disk);
  expect_records(again, 1, 1);
  EXPECT_TRUE(again.log.value()->sync(1).ok());
}

TEST(JournalLog, WhatNobodyAsksForIsDurableInTimeAllTheSame) {
  SimDisk disk;
  ManualClock clock;
  const auto ignore = [](const Record&, const RecordPlace&) {};
  const auto log = JournalLog::open({.disk = disk,
                                     .directory = kDirectory,
                                     .volume_key = "key",
                                     .clock = clock,
                                     .sync_after = std::chrono::seconds(5)},
                                    ignore)
                       .value();
  ASSERT_TRUE(put_next(*log).ok());
  EXPECT_EQ(log->durable_sequence(), 0U);
  clock.advance(std::chrono::seconds(5));
  const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
  while (log->durable_sequence() < 1 && Clock::system().now() < until) {
    (void)::poll(nullptr, 0, 10);
  }
  EXPECT_EQ(log->durable_sequence(), 1U);
}

}  // namespace
}  // namespace netfs::journal
