#include "daemon/writing_mark.h"

#include <cerrno>
#include <fcntl.h>
#include <map>
#include <span>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>
#include <utility>

#include "base/crc32c.h"
#include "base/unique_fd.h"
#include "daemon/lock_classes.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::daemon {

namespace {

// The marks of this process.  One process owns a cache directory.  No I/O under the lock: who is at
// a mark's file says that it is busy.
struct Entry {
  unsigned mounts = 0;  // that hold it
  bool busy = false;
};
struct Marks {
  sync::Mutex mutex{kWritingMarkLock};
  sync::CondVar changed;
  std::map<std::string, Entry> entries GUARDED_BY(mutex);
};

Marks& marks() {
  static Marks all;
  return all;
}

void no_longer_busy(const std::string& path, unsigned more_mounts) {
  sync::MutexLock lock(marks().mutex);
  Entry& entry = marks().entries[path];
  entry.busy = false;
  entry.mounts += more_mounts;
  marks().changed.notify_all();
}

void remove_mark(const std::string& path) {
  {
    sync::MutexLock lock(marks().mutex);
    Entry& entry = marks().entries[path];
    // A mount that came since goes on with it.
    if (entry.mounts > 0 || entry.busy) return;
    entry.busy = true;
  }
  ::unlink(path.c_str());
  no_longer_busy(path, 0);
}

std::string path_of(const std::string& cache_dir, const std::string& volume_key) {
  const auto bytes = std::as_bytes(std::span(volume_key.data(), volume_key.size()));
  return fmt::format("{}/writing-{:08x}{:08x}", cache_dir, crc32c(bytes), crc32c(bytes, 1));
}

Result<void> sync_directory(const std::string& file) {
  const std::string directory = file.substr(0, file.rfind('/'));
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return Error::from_errno("daemon.writing_mark");
  return {};
}

// True: it was made; false: it is there.
Result<bool> make_mark(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd && errno == EEXIST) return false;
  if (!fd || ::fsync(fd.get()) != 0) return Error::from_errno("daemon.writing_mark");
  TRY(sync_directory(path));
  return true;
}

}  // namespace

WritingMark::WritingMark(std::string cache_dir, const std::string& volume_key)
    : path_(path_of(cache_dir, volume_key)) {}

// Not cleared: it is left for the next process, unless other mounts of this one go on with it.
WritingMark::~WritingMark() {
  if (state_ == State::kChecking) no_longer_busy(path_, 0);
  if (state_ != State::kHeld) return;
  sync::MutexLock lock(marks().mutex);
  --marks().entries[path_].mounts;
}

bool WritingMark::is_left(const std::string& cache_dir, const std::string& volume_key) {
  const std::string path = path_of(cache_dir, volume_key);
  {
    sync::MutexLock lock(marks().mutex);
    const Entry& entry = marks().entries[path];
    if (entry.mounts > 0) return false;
    if (entry.busy) return true;  // set() waits and tells
  }
  return ::access(path.c_str(), F_OK) == 0;
}

Result<WritingMark::Found> WritingMark::set() {
  {
    sync::MutexLock lock(marks().mutex);
    while (marks().entries[path_].busy) marks().changed.wait(marks().mutex);
    Entry& entry = marks().entries[path_];
    if (entry.mounts > 0) {
      ++entry.mounts;
      state_ = State::kHeld;
      return Found::kNothing;
    }
    entry.busy = true;
  }
  const Result<bool> made = make_mark(path_);
  if (!made.ok()) {
    no_longer_busy(path_, 0);
    return made.error();
  }
  state_ = State::kChecking;
  if (!made.value()) return Found::kLeftOver;
  trusted();
  return Found::kNothing;
}

void WritingMark::trusted() {
  state_ = State::kHeld;
  no_longer_busy(path_, 1);
}

void WritingMark::clear(Offload& offload) {
  if (std::exchange(state_, State::kNone) != State::kHeld) return;
  {
    sync::MutexLock lock(marks().mutex);
    if (--marks().entries[path_].mounts > 0) return;
  }
  (void)offload.after_stores([path = path_] { remove_mark(path); });
}

}  // namespace netfs::daemon
