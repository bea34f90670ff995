#pragma once
// TestOrigin: an origin for the tests of this room: a simulated one whose metadata calls can be
// held back, fail, and say what no sound origin says.
//
// Thread-safe.  The simulated origin outlives it.
//
//   origin.hold();
//   ... kernel asks ...
//   ASSERT_TRUE(origin.wait_held(1));
//   origin.release();

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "netfs/testing/simulated_origin.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "vfs/testing/lock_classes.h"

namespace netfs::vfs {

class TestOrigin final : public Origin {
 public:
  explicit TestOrigin(SimulatedOrigin& tree) : tree_(tree), capabilities_(tree.capabilities()) {}

  // Metadata calls wait from now on, each until its deadline or release().
  void hold();
  // ... and listings stop behind so many entries.
  void release(size_t listings_end = SIZE_MAX);
  // Until `count` calls wait; false after a long time.
  bool wait_held(size_t count);

  // What metadata calls answer from now on; 0: the truth.
  void set_error(int error);
  // Listings of the root have these besides.
  void add_entry(OriginEntry entry);
  // Listings stop behind so many entries until release(), and then fail with `error` if that is not
  // 0.
  void hold_listings_at(size_t entries, int error = 0);
  // From now on so many ahead are enough; capabilities() have the most.
  void set_listings_ahead(unsigned count) { listings_ahead_ = count; }
  // Before a file system is made of it; outlives that.
  void give_locks(OriginLocks& locks) { locks_ = &locks; }
  void end_locks_with_process() { capabilities_.locks_end_with_process = true; }
  // What stat and list say passes through it.
  void set_change(std::function<void(const std::string& path, NodeInfo&)> change);

  struct Counts {
    uint64_t stats = 0;
    uint64_t lists = 0;
    uint64_t links = 0;
    uint64_t file_systems = 0;
  };
  [[nodiscard]] Counts counts() const;
  // Deadline of the last metadata call.
  [[nodiscard]] Deadline last_deadline() const;

  [[nodiscard]] const OriginCapabilities& capabilities() const override { return capabilities_; }
  [[nodiscard]] unsigned listings_ahead() const override { return listings_ahead_; }
  [[nodiscard]] std::string volume_key() const override { return tree_.volume_key(); }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override;
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override;
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override {
    return tree_.open(path, deadline);
  }
  void issue_read(Subrequest& subrequest) override { tree_.issue_read(subrequest); }
  [[nodiscard]] OriginWriter* writer() override { return tree_.writer(); }
  [[nodiscard]] OriginLocks* locks() override { return locks_; }

 private:
  Result<void> enter(uint64_t Counts::*counter, Deadline deadline) EXCLUDES(mutex_);
  void change(const std::string& path, NodeInfo& info) EXCLUDES(mutex_);
  Result<void> wait_in_listing(size_t entries) EXCLUDES(mutex_);

  SimulatedOrigin& tree_;
  OriginCapabilities capabilities_;
  OriginLocks* locks_ = nullptr;
  std::atomic<unsigned> listings_ahead_{capabilities().listings_ahead};
  mutable sync::Mutex mutex_{kTestOriginLock};
  sync::CondVar changed_;
  Counts counts_ GUARDED_BY(mutex_);
  std::vector<OriginEntry> entries_ GUARDED_BY(mutex_);
  std::function<void(const std::string&, NodeInfo&)> change_ GUARDED_BY(mutex_);
  Deadline last_deadline_ GUARDED_BY(mutex_);
  size_t held_ GUARDED_BY(mutex_) = 0;
  int error_ GUARDED_BY(mutex_) = 0;
  size_t listings_end_ GUARDED_BY(mutex_) = SIZE_MAX;
  int listings_error_ GUARDED_BY(mutex_) = 0;
  bool holding_ GUARDED_BY(mutex_) = false;
};

}  // namespace netfs::vfs
