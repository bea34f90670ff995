#pragma once
// Reads of an Origin as tests make them: issued, waited for boundedly, checked for bytes outside.
//
//   Reads reads(*origin, *file);
//   EXPECT_EQ(reads.read({0, 4096}), expected);

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "netfs/origin.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::test {

inline constinit sync::LockClass kTestReadLock{"test.origin_read"};

// One subrequest.  Memory on both sides of the destination is watched: an origin that writes there
// fails the test.
class TestRead final : public Subrequest {
 public:
  TestRead(OriginFile& file, ByteRange range, Deadline deadline);
  ~TestRead() override;

  void progress(uint64_t bytes) override;
  void terminated(ReadOutcome outcome) override;

  // Nothing when it was not terminated in time.
  std::optional<ReadOutcome> wait(Duration patience);
  // The bytes placed; empty after an error.
  [[nodiscard]] std::string bytes() const;
  [[nodiscard]] bool guards_intact() const;
  [[nodiscard]] unsigned terminations() const;

 private:
  TestRead(OriginFile& file, ByteRange range, Deadline deadline, std::vector<std::byte>* memory);

  std::unique_ptr<std::vector<std::byte>> memory_;
  mutable sync::Mutex mutex_{kTestReadLock};
  sync::CondVar done_;
  std::optional<ReadOutcome> outcome_ GUARDED_BY(mutex_);
  uint64_t progress_ GUARDED_BY(mutex_) = 0;
  uint64_t placed_ GUARDED_BY(mutex_) = 0;
  unsigned terminations_ GUARDED_BY(mutex_) = 0;
};

struct ReadBytes {
  std::string bytes;
  bool hit_end_of_file = false;
  std::optional<Validator> validator;
};

// Reads a range to its end or the end of the file, asking on after short answers as the library
// does.  ETIMEDOUT when a subrequest is not terminated within `patience`.
Result<ReadBytes> read_range(Origin& origin, OriginFile& file, ByteRange range,
                             Duration patience = std::chrono::seconds(60));
// Opens and reads a whole file of the size that stat says.
Result<std::string> read_file(Origin& origin, const std::string& path);

}  // namespace netfs::test
