#pragma once
// ReadRequest: one read that somebody asked for, until it is answered.
//
// Its parts tile the asked range in file order, each from one source.  They are done in any order
// and collected from the front (read_collect.cc); with the last one the request is finished, its
// answer called once, outside all locks.  A part of memory or of the origin waits for a Fetch that
// may serve other requests too; the fetch outlives the request.
//
// Everything that is not const is guarded by the mutex of its file, but the two links, which are
// the request list's.

#include <cstdint>
#include <vector>

#include "base/byte_range.h"
#include "base/clock.h"
#include "base/ref.h"
#include "netfs/fetch.h"
#include "netfs/library.h"
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

class ReadRequest : public RefCounted<ReadRequest> {
 public:
  ReadRequest(uint64_t number, Ref<RemoteFile> of, ByteRange asked, const sync::Context& asker,
              ReadDone answer, MonoTime now, MonoTime until);
  ~ReadRequest();

  const uint64_t id;
  const Ref<RemoteFile> file;
  const ByteRange range;
  const sync::Context context;
  const MonoTime began;
  const MonoTime deadline;

  ReadDone done;
  std::vector<ReadPart> parts;
  size_t collected = 0;  // parts before this one are done
  bool finished = false;

  ReadRequest* previous = nullptr;
  ReadRequest* next = nullptr;
  bool listed = false;
};

}  // namespace netfs
