#include "journal/journaled_locks.h"

#include <algorithm>
#include <utility>

#include "journal/journaled_file.h"

namespace netfs::journal {

// The time that the upload is held back by a limit of bandwidth does not count.
Result<void> JournaledLocks::wait_until_uploaded(Deadline deadline) {
  const uint64_t upto = journal_.newest();
  while (!journal_.drain(upto, deadline)) {
    const MonoTime now = Clock::system().now();
    deadline = {std::min(journal_.upload_until(), now + journal_.options().timeout)};
    if (deadline.passed(now)) return Error(ETIMEDOUT, "journal.lock");
  }
  return {};
}

Result<OriginLocks::Opened> JournaledLocks::open(const FileAt& file, LockKind kind,
                                                 Deadline deadline) {
  const NodeId node =
      file.open == nullptr ? NodeId::kNone : static_cast<const JournaledFile&>(*file.open).node();
  bool waited = false;
  for (;;) {
    const Journal::Glance glance =
        TRY(node == NodeId::kNone ? journal_.glance(file.path) : journal_.glance(node));
    if (!glance.origin_path) {
      // It went elsewhere: nobody else has it.
      if (std::exchange(waited, true)) return Error(ENOLCK, "journal.lock");
      TRY(wait_until_uploaded(deadline));
      deadline.at = std::max(deadline.at, Clock::system().now() + journal_.options().timeout);
      continue;
    }
    Result<Opened> opened = inner_.open({.path = *glance.origin_path}, kind, deadline);
    const Journal::Stands stand =
        TRY(journal_.stands(file.path, node, glance, opened.code(), deadline));
    if (stand == Journal::Stands::kYes) return opened;
    if (deadline.passed(Clock::system().now())) return Error(ETIMEDOUT, "journal.lock");
  }
}

}  // namespace netfs::journal
