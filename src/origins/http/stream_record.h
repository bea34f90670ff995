#pragma once
// StreamRecord: how far a version of a file has been read as a stream, and at what cost.  It
// outlives the stream: a download that was dropped, and begun again, goes on as far as before.
//
// The engine's thread only.

#include <list>
#include <string>
#include <utility>

#include "base/byte_range.h"
#include "base/ref.h"
#include "origins/http/read_answer.h"

namespace netfs::origins::http {

struct StreamRecord : RefCounted<StreamRecord> {
  uint64_t furthest_byte = 0;    // behind the last that a reader got
  uint64_t delivered_bytes = 0;  // to readers
  uint64_t passed_bytes = 0;     // downloaded

  // Whether a download from the start for this read would be one of too many for too little.
  [[nodiscard]] bool wasteful(ByteRange range) const;
};

// Those of the files that were read last.
class StreamRecords {
 public:
  Ref<StreamRecord> of(const ReadSource& source);

 private:
  std::list<std::pair<std::string, Ref<StreamRecord>>> records_;  // the last used first
};

}  // namespace netfs::origins::http
