#pragma once
// OpeningOrigin: opens and stats that wait, and files that their first read opens; UnaskedFixture:
// a library over it.  For the tests of what is opened for nobody, or by a read.

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "netfs/testing/reading.h"

namespace netfs {

// In front of a simulated origin: opens that wait, and files that their first read opens.
class OpeningOrigin final : public Origin {
 public:
  explicit OpeningOrigin(SimulatedOrigin& inner) : inner_(inner) {}

  void hold_opens() {
    sync::MutexLock lock(mutex_);
    holding_ = true;
  }
  void release_opens() {
    sync::MutexLock lock(mutex_);
    holding_ = false;
    changed_.notify_all();
  }
  void hold_stats() {
    sync::MutexLock lock(mutex_);
    holding_stats_ = true;
  }
  void release_stats() {
    sync::MutexLock lock(mutex_);
    holding_stats_ = false;
    changed_.notify_all();
  }
  bool wait_for_opens(size_t count) {
    const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
    sync::MutexLock lock(mutex_);
    while (waiting_ < count) {
      if (!changed_.wait_until(mutex_, until)) return waiting_ >= count;
    }
    return true;
  }
  // Until so many are held.
  bool wait_for_stats(size_t count) {
    const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
    sync::MutexLock lock(mutex_);
    while (stats_waiting_ < count) {
      if (!changed_.wait_until(mutex_, until)) return stats_waiting_ >= count;
    }
    return true;
  }
  std::atomic<bool> by_read{false};
  std::atomic<unsigned> opened_by_read{0};

  [[nodiscard]] const OriginCapabilities& capabilities() const override {
    return inner_.capabilities();
  }
  [[nodiscard]] std::string volume_key() const override { return inner_.volume_key(); }
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override {
    {
      sync::MutexLock lock(mutex_);
      ++stats_waiting_;
      changed_.notify_all();
      while (holding_stats_) changed_.wait(mutex_);
      --stats_waiting_;
    }
    return inner_.stat(path, deadline);
  }
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override {
    return inner_.list(path, deadline, sink);
  }
  Result<std::string> read_link(const std::string& path, Deadline deadline) override {
    return inner_.read_link(path, deadline);
  }
  Result<FileSystemStats> stat_file_system(Deadline deadline) override {
    return inner_.stat_file_system(deadline);
  }
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override {
    {
      sync::MutexLock lock(mutex_);
      ++waiting_;
      changed_.notify_all();
      while (holding_) changed_.wait(mutex_);
    }
    return inner_.open(path, deadline);
  }
  std::unique_ptr<OriginFile> open_by_read(const std::string& path) override {
    if (!by_read) return nullptr;
    ++opened_by_read;
    auto file = MUST(inner_.open(path, Deadline::never()));  // the test made it
    sync::MutexLock lock(mutex_);
    by_reads_[file.get()] = path;
    return file;
  }
  void issue_read(Subrequest& subrequest) override {
    std::string path;
    {
      sync::MutexLock lock(mutex_);
      const auto found = by_reads_.find(&subrequest.file());
      if (found != by_reads_.end()) path = found->second;
    }
    if (path.empty() || !said_before) return inner_.issue_read(subrequest);
    Validator said = *said_before;
    if (says_of_each) said = MUST(inner_.stat(path, Deadline::never())).validator;  // it is there
    inner_.issue_read(*new Saying(subrequest, std::move(said), said_size));
  }
  // By each read of what is opened by that.
  std::optional<Validator> said_before;
  std::optional<uint64_t> said_size;
  bool says_of_each = false;  // and not `said_before`

 private:
  // A read whose outcome says of which version its answer was.
  class Saying final : public Subrequest {
   public:
    Saying(Subrequest& of, Validator said, std::optional<uint64_t> size)
        : Subrequest(of.file(), of.range(), of.destination(), of.deadline()),
          of_(of),
          said_(std::move(said)),
          size_(size) {}
    void terminated(ReadOutcome outcome) override {
      outcome.validator_before = said_;
      outcome.size_before = size_;
      of_.terminated(std::move(outcome));
      delete this;
    }

   private:
    Subrequest& of_;
    const Validator said_;
    const std::optional<uint64_t> size_;
  };

  SimulatedOrigin& inner_;
  sync::Mutex mutex_{kSimulatedOriginLock};
  std::map<const OriginFile*, std::string> by_reads_ GUARDED_BY(mutex_);
  sync::CondVar changed_;
  bool holding_ GUARDED_BY(mutex_) = false;
  bool holding_stats_ GUARDED_BY(mutex_) = false;
  size_t waiting_ GUARDED_BY(mutex_) = 0;
  size_t stats_waiting_ GUARDED_BY(mutex_) = 0;
};

struct UnaskedFixture : LibraryFixture {
  explicit UnaskedFixture(size_t budget_bytes = size_t{32} << 20,
                          SimulatedOrigin::Options simulated = {})
      : LibraryFixture({.origin = simulated, .budget_bytes = budget_bytes, .readahead = true}) {
    for (int i = 0; i < 40; ++i)
      origin.add_pattern(name(i), uint64_t{40} << 10, static_cast<uint64_t>(i));
    library.reset();
    Ref<Volume> volume = MUST(cache.open_volume(origin.volume_key()));  // in memory
    library = MUST(Library::create({.origin = opening,
                                    .volume = std::move(volume),
                                    .offload = offload.get(),
                                    .pool = pool,
                                    .timeout = std::chrono::seconds(10),
                                    .readahead = true}));
  }
  ~UnaskedFixture() {
    opening.release_opens();
    opening.release_stats();
    library.reset();
  }
  static std::string name(int i) { return "f" + std::to_string(i); }
  bool settled() {
    const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
    while (origin.counts().reads == 0 || library->stats().subrequests_open > 0) {
      if (Clock::system().now() > until) return false;
    }
    return true;
  }

  // So many at least.
  bool opened(uint64_t count) {
    const MonoTime until = Clock::system().now() + std::chrono::seconds(60);
    while (origin.counts().opens < count) {
      if (Clock::system().now() > until) return false;
    }
    return true;
  }

  OpeningOrigin opening{origin};
};

}  // namespace netfs
