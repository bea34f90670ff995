#pragma once
// What a journal holds when it is opened: its records in order, up to where it ends.
//
// It ends before the first record that is not whole.  What a power cut explains is dropped without
// a word: it was never promised.  What it does not explain, because a later record says that the
// missing one was durable, is damage: it is told, what is behind it is set aside, and nothing of
// that is carried out.  Nothing that can be read is ever removed.

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cachefiles/disk.h"
#include "journal/journal_format.h"
#include "journal/segment.h"

namespace netfs::journal {

struct Scanned {
  std::vector<SegmentRef> segments;  // with something in them, in order
  uint64_t next_sequence = 1;
  uint64_t durable = 0;      // up to there it is known to be on the disk; the rest may not be yet
  uint64_t last_begins = 0;  // the first sequence of the last segment with something in it
  uint64_t next_number = 1;
  uint64_t generation = 0;  // the highest there was
  std::string damage;       // a sentence; empty: none
};

using RecordSink = std::function<void(const Record& record, const RecordPlace& place)>;

std::string segment_path(const std::string& directory, uint64_t number);

enum class ScanFor : uint8_t {
  kUse,   // what it ends in is put in order
  kLook,  // nothing is changed
};

// `ours`: what may be in it.  EBADMSG: the journal is another volume's.  EPROTONOSUPPORT: another
// version of netfs made it, and this one cannot read it; then nothing is changed.
Result<Scanned> scan_journal(cachefiles::Disk& disk, const std::string& directory,
                             const std::string& volume_key, ScanFor what, const RecordSink& sink,
                             JournalForm ours = kJournalForm);

// Whether a journal has changes that are not known to be uploaded; nothing is changed.  EBUSY: a
// process has it.
Result<bool> holds_changes(cachefiles::Disk& disk, const std::string& directory,
                           const std::string& volume_key);

}  // namespace netfs::journal
