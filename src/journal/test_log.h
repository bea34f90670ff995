#pragma once
// What the tests of the log share: a log on SimDisk, and records that say what they are.

#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cachefiles/sim_disk.h"
#include "journal/journal_log.h"

namespace netfs::journal {

using cachefiles::SimDisk;

inline constexpr char kDirectory[] = "volume";

// What the record with this sequence is in these tests.
inline std::string data_of(uint64_t sequence) {
  std::string data(static_cast<size_t>(sequence * 7919 % 30'000), '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(sequence * 31 + i * 7);
  return data;
}

struct Opened {
  std::vector<std::pair<Record, RecordPlace>> records;
  Result<std::unique_ptr<JournalLog>> log = Error(EIO, "not opened");
};

inline Opened open_journal(SimDisk& disk, uint64_t segment_bytes = kSegmentBytesLeast) {
  Opened opened;
  opened.log = JournalLog::open({.disk = disk,
                                 .directory = kDirectory,
                                 .volume_key = "key",
                                 .sync_after = Duration(0),
                                 .segment_bytes = segment_bytes},
                                [&](const Record& record, const RecordPlace& place) {
                                  opened.records.emplace_back(record, place);
                                });
  return opened;
}

inline Result<RecordPlace> put_next(JournalLog& log) {
  const uint64_t next = log.last_sequence() + 1;
  const std::string data = data_of(next);
  Record record{
      .kind = RecordKind::kWrite, .path = "f" + std::to_string(next), .range = {next, data.size()}};
  return log.put(record, bytes_of(data));
}

inline void expect_records(Opened& opened, uint64_t first, uint64_t count) {
  ASSERT_TRUE(opened.log.ok()) << opened.log.error().message();
  ASSERT_EQ(opened.records.size(), count);
  for (uint64_t i = 0; i < count; ++i) {
    const auto& [record, place] = opened.records[i];
    ASSERT_EQ(record.sequence, first + i);
    EXPECT_EQ(record.path, "f" + std::to_string(first + i));
    std::string data;
    const Result<Record> read = opened.log.value()->read(place, &data);
    ASSERT_TRUE(read.ok()) << read.error().message();
    EXPECT_TRUE(read.value() == record);
    ASSERT_TRUE(data == data_of(first + i));
  }
}

inline bool has(SimDisk& disk, const std::string& file) {
  const std::vector<std::string> files = disk.files();
  return std::find(files.begin(), files.end(), file) != files.end();
}

}  // namespace netfs::journal
