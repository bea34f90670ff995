#include "origins/file/file_locks.h"

#include <cerrno>
#include <fcntl.h>
#include <utility>

#include "netfs/lock_descriptor.h"
#include "origins/file/local_file.h"

namespace netfs::origins {

namespace {

Result<UniqueFd> open_anew(int root, const FileAt& file, int flags) {
  // O_NONBLOCK: a FIFO in the file's place must not make us wait.
  if (file.open == nullptr) return open_beneath(root, file.path, flags | O_NONBLOCK | O_NOFOLLOW);
  const int fd = static_cast<LocalFile&>(*file.open).fd.get();
  UniqueFd anew(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), flags | O_CLOEXEC));
  if (!anew) return Error::from_errno("file.lock");
  return anew;
}

// Whether the file may yet be opened in another way.
bool is_refused(const Result<UniqueFd>& opened) {
  return opened.is_error(EACCES) || opened.is_error(EPERM) || opened.is_error(EROFS) ||
         opened.is_error(ETXTBSY);
}

struct LocalLock final : OriginLock {
  LocalLock(UniqueFd its, LockKind sort) : fd(std::move(its)), kind(sort) {}
  // By its close alone others would hold it on, who have copies.
  ~LocalLock() override { (void)set_lock_by_descriptor(fd.get(), kind, LockMode::kNone, {}).ok(); }
  [[nodiscard]] int descriptor() const override { return fd.get(); }

  const UniqueFd fd;
  const LockKind kind;
};

}  // namespace

Result<OriginLocks::Opened> FileLocks::open(const FileAt& file, LockKind kind, Deadline) {
  // A description takes exclusive locks of ranges if it may write, shared ones if it may read.
  Result<UniqueFd> fd = open_anew(root_, file, O_RDWR);
  if (is_refused(fd)) fd = open_anew(root_, file, O_RDONLY);
  if (is_refused(fd)) fd = open_anew(root_, file, O_WRONLY);
  // No descriptor left is no room for one more lock.
  if (fd.is_error(EMFILE) || fd.is_error(ENFILE)) return Error(ENOLCK, "file.lock");
  if (!fd.ok()) return std::move(fd).error();
  Opened opened;
  opened.info = TRY(stat_fd(fd.value().get(), ""));
  opened.lock = std::make_unique<LocalLock>(std::move(fd).value(), kind);
  return opened;
}

Result<OriginLocks::Opened> FileLocks::take_over(UniqueFd descriptor, LockKind kind) {
  const int fd = descriptor.get();
  Opened taken;
  taken.lock = std::make_unique<LocalLock>(std::move(descriptor), kind);
  taken.info = TRY(stat_fd(fd, ""));
  return taken;
}

Result<void> FileLocks::set(OriginLock& lock, LockMode mode, const LockSpan& span, Deadline) {
  const auto& local = static_cast<const LocalLock&>(lock);
  return set_lock_by_descriptor(local.fd.get(), local.kind, mode, span);
}

Result<std::optional<LockedRange>> FileLocks::find(OriginLock& lock, LockMode mode,
                                                   const LockSpan& span, Deadline) {
  const auto& local = static_cast<const LocalLock&>(lock);
  return find_lock_by_descriptor(local.fd.get(), mode, span);
}

}  // namespace netfs::origins
