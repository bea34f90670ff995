#pragma once
// Uploader::beside(): gives what is in conflict a name that is free.

#include <string>

#include "journal/uploader.h"
#include "telemetry/log.h"

namespace netfs::journal {

constexpr unsigned kConflictsOfOneName = 1000;
constexpr size_t kConflictNameBytesMax = 255;

// A path in the same directory.
std::string sibling(const std::string& path, const std::string& name);
// NAME.netfs-conflict-N; a long NAME is cut.
std::string conflict_name(const std::string& path, unsigned number);

// `make` brings ours to the path that it is given; EEXIST: somebody else's is there.  The name is
// in the log before that.  Returns the path.
template <class Make>
Result<std::string> Uploader::beside(Batch& batch, const std::string& path, Make make) {
  for (unsigned number = 0; number <= kConflictsOfOneName; ++number) {
    // Of an attempt before.
    if (batch.beside.empty()) {
      const std::string name = conflict_name(path, number + 1);
      if (TRY(look(sibling(path, name)))) continue;
      telemetry::log_warn(
          "journal", "conflict: '{}' was changed here and at the origin: ours is '{}'", path, name);
      batch.beside = name;
      batch.sure = false;
      TRY(begin(batch));
    }
    const std::string to = sibling(path, batch.beside);
    const Result<void> made = make(to);
    if (made.ok()) return to;
    if (!made.is_error(EEXIST)) return made.error();
    batch.beside.clear();
  }
  return Error(EEXIST, "journal.conflict");
}

}  // namespace netfs::journal
