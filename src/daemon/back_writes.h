#pragma once
// BackWrites: the journal of a mount with --write=back: its folder in the cache directory, and the
// origin that goes through it.
//
// Thread-safe.  The inner origin outlives it.
//
//   back_ = TRY(BackWrites::open(cache_dir, *origin, timeout));

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cachefiles/real_disk.h"
#include "journal/journaled_origin.h"
#include "netfs/origin.h"
#include "sync/work_queue.h"

namespace netfs::daemon {

class BackWrites {
 public:
  struct Settings {
    Duration timeout;
    uint64_t size_max = 0;
    std::optional<Owner> owner{};  // of the root, where that cannot be asked
    // Told, by a thread of its own, where users see something else from now on than they have made.
    // `beside`: where that is now, or empty.
    std::function<void(const std::string& path, const std::string& beside)> went_elsewhere;
  };
  // EBUSY: another mount of that tree has it.
  static Result<std::unique_ptr<BackWrites>> open(const std::string& cache_dir, Origin& inner,
                                                  const Settings& settings);
  // What one before has left: something that is not uploaded, or that cannot be read.
  enum class Left : uint8_t { kNothing, kChanges, kInUse };
  static Left look(const std::string& cache_dir, const std::string& volume_key);

  [[nodiscard]] Origin& origin() { return *origin_; }
  // The last change there is.
  [[nodiscard]] uint64_t newest() const { return origin_->journal().newest(); }
  // Waits until all up to it is uploaded; false at the deadline.
  bool drain(uint64_t upto, Deadline deadline) { return origin_->journal().drain(upto, deadline); }
  // What went otherwise than it was done here, a sentence each; told once.
  std::vector<std::string> take_troubles() { return origin_->journal().take_troubles(); }
  [[nodiscard]] journal::JournalStatus status() const { return origin_->journal().status(); }
  // The folder of the journal.
  [[nodiscard]] const std::string& where() const { return where_; }
  // Nothing more goes to the origin; waits for the calls that are under way.
  void stop_uploading() { origin_->stop_uploading(); }
  // `went_elsewhere` is told no more.
  void stop_telling() { teller_.stop(); }

 private:
  // What is more is seen when it is asked for again.
  static constexpr size_t kToldMax = 1 << 20;

  BackWrites() = default;

  std::string where_;
  std::unique_ptr<cachefiles::RealDisk> disk_;
  // The uploader must not wait for whoever is told: the kernel may wait for the upload.
  sync::WorkQueue teller_{{.name = "netfs-elsewhere", .depth_max = kToldMax}};
  std::unique_ptr<journal::JournaledOrigin> origin_;
};

}  // namespace netfs::daemon
