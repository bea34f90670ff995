#pragma once
// TestLibrary: a library for the tests of this room, where each version of a file has the bytes a
// test gave it, and is sealed when a test says so.
//
// Thread-safe; outlives its files.
//
//   library.put(info.validator, "bytes of this version");
//   library.seal("file");

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "netfs/library.h"
#include "netfs/library_stats.h"
#include "netfs/read_stream.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "vfs/testing/lock_classes.h"

namespace netfs::vfs {

class TestLibrary final : public Library {
 public:
  explicit TestLibrary(BufferPool& pool) : pool_(pool) {}
  void use_cache(Ref<Volume> /*volume*/, Offload& /*offload*/) override {}

  void put(const Validator& validator, std::string bytes);
  // Versions of that path are sealed from now on.
  void seal(const std::string& path);
  // Versions of that path are read at once from now on.
  void cache(const std::string& path);
  // The origin was seen to have another version of what is open of that path.
  void give_up(const std::string& path);
  // What reads of anything answer from now on; 0: the bytes.
  void fail_reads(int error);
  // Reads wait from now on, answered by release_reads().
  void hold_reads();
  // As hold_reads(), and File::read() does not return either before let_return().
  void hold_callers();
  void let_return();
  void release_reads();
  bool wait_held_reads(size_t count);

  struct Counts {
    uint64_t opens = 0;
    uint64_t reads = 0;
    uint64_t reads_at_once = 0;
    uint64_t hand_outs = 0;
    uint64_t superseded = 0;
    uint64_t holes_filled = 0;  // how often that was asked for
    uint64_t live_files = 0;
    bool context_held = true;  // every read's context holds fuse.fault
  };
  [[nodiscard]] Counts counts() const;

  Result<Ref<File>> open(FileVersion version) override;
  void close() override { release_reads(); }
  [[nodiscard]] const LibraryStats& stats() const override { return stats_; }
  [[nodiscard]] std::vector<LiveRequest> live_requests() const override { return {}; }

 private:
  class TestFile;
  struct HeldRead {
    Ref<File> file;
    ByteRange range;
    ReadDone done;
  };
  Result<ReadResult> result_of(const FileVersion& version, ByteRange range) EXCLUDES(mutex_);

  std::optional<std::string> cached_text(const FileVersion& version, ByteRange range)
      EXCLUDES(mutex_);

  BufferPool& pool_;
  LibraryStats stats_;
  mutable sync::Mutex mutex_{kTestLibraryLock};
  sync::CondVar changed_;
  std::map<std::string, std::string> contents_ GUARDED_BY(mutex_);  // by validator
  std::set<std::string> sealed_ GUARDED_BY(mutex_);
  std::set<std::string> cached_ GUARDED_BY(mutex_);
  using Flag = std::shared_ptr<std::atomic<bool>>;
  std::multimap<std::string, Flag> may_give_up_ GUARDED_BY(mutex_);  // of what was opened, by path
  std::vector<HeldRead> held_ GUARDED_BY(mutex_);
  Counts counts_ GUARDED_BY(mutex_);
  int read_error_ GUARDED_BY(mutex_) = 0;
  bool holding_ GUARDED_BY(mutex_) = false;
  bool holding_callers_ GUARDED_BY(mutex_) = false;
};

}  // namespace netfs::vfs
