#pragma once
// ReadRequest: one read that somebody asked for, until it is answered.
//
// Its parts tile the asked range in file order, each from one source.  They are done in any order
// and collected from the front (read_collect.cc); with the last one the request is finished, its
// answer called once, outside all locks.  A part of memory or of the origin waits for a Fetch that
// may serve other requests too; the fetch outlives the request.
//
// Everything that is not const is guarded by the mutex of its file.

#include <cstdint>
#include <vector>

#include "base/byte_range.h"
#include "base/clock.h"
#include "base/ref.h"
#include "netfs/fetch.h"
#include "netfs/library.h"
#include "netfs/request.h"
#include "netfs/slice.h"
#include "sync/context.h"

namespace netfs {

class RemoteFile;

struct ReadPart {
  Source source = Source::kOrigin;
  ByteRange range;
  bool done = false;
  bool skip_cache = false;  // the cache failed it
  unsigned plans = 0;       // how often it was planned anew
  Ref<Fetch> fetch;         // of memory and origin parts
  BufferSlice bytes;        // once done
};

class ReadRequest final : public Request {
 public:
  ReadRequest(uint64_t number, Ref<RemoteFile> of, ByteRange asked, const sync::Context& asker,
              ReadDone answer, MonoTime now, MonoTime until);
  ~ReadRequest() override;

  void end(Error error) override;
  [[nodiscard]] MonoTime waits_until() const override;
  [[nodiscard]] std::string path() const override;
  [[nodiscard]] std::string what_it_waits_for() const override;

  const Ref<RemoteFile> file;

  ReadDone done;
  std::vector<ReadPart> parts;
  size_t collected = 0;  // parts before this one are done
  bool finished = false;
};

}  // namespace netfs
