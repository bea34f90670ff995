#pragma once
// RangeRead: one subrequest as one GET of its range.
//
// The bytes go from libcurl's buffer to the subrequest's, at the place that Content-Range says and
// only if that is the place that was asked for.  A server that sends the whole file instead, of the
// same version, has no ranges: this transfer ends and the file's stream takes the read over,
// unless the whole is what was asked for.

#include "base/ref.h"
#include "netfs/subrequest.h"
#include "origins/http/http_file.h"
#include "origins/http/read_answer.h"
#include "origins/http/transfer.h"

namespace netfs::origins::http {

class RangeRead final : public Transfer {
 public:
  // Starts it, by a range or by the file's stream; on the engine's thread.
  static void start(Ref<FileState> file, Subrequest& subrequest);

  RangeRead(Ref<FileState> file, Subrequest& subrequest);

  Result<void> head(const ResponseHead& head) override;
  Result<Taken> body(std::span<const std::byte> bytes) override;
  void ended(Result<void> result) override;

 private:
  const Ref<FileState> file_;
  Subrequest& subrequest_;
  ReadAnswer answer_;
  uint64_t got_bytes_ = 0;
  uint64_t unwanted_bytes_ = 0;
};

}  // namespace netfs::origins::http
