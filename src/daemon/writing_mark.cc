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
#include "sync/mutex.h"

namespace netfs::daemon {

namespace {

// The marks of this process: how many mounts hold each.  One process owns a cache directory.  The
// lock is held while a mark is made or removed: who mounts meanwhile goes on with one that is
// durable and that nobody is about to remove.
struct Held {
  sync::Mutex mutex{kWritingMarkLock};
  std::map<std::string, unsigned> mounts GUARDED_BY(mutex);
};

Held& held() {
  static Held all;
  return all;
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

}  // namespace

WritingMark::WritingMark(std::string cache_dir, const std::string& volume_key)
    : path_(path_of(cache_dir, volume_key)) {}

// Not cleared: it is left for the next process, unless other mounts of this one go on with it.
WritingMark::~WritingMark() {
  if (!held_) return;
  sync::MutexLock lock(held().mutex);
  --held().mounts[path_];
}

Result<WritingMark::Found> WritingMark::set() {
  sync::MutexLock lock(held().mutex);
  held_ = true;
  if (held().mounts[path_]++ > 0) return Found::kNothing;
  UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd && errno == EEXIST) return Found::kLeftOver;
  if (!fd || ::fsync(fd.get()) != 0) return Error::from_errno("daemon.writing_mark");
  TRY(sync_directory(path_));
  return Found::kNothing;
}

void WritingMark::clear() {
  if (!held_) return;
  held_ = false;
  sync::MutexLock lock(held().mutex);
  if (--held().mounts[path_] > 0) return;
  held().mounts.erase(path_);
  ::unlink(path_.c_str());
}

}  // namespace netfs::daemon
