#pragma once
// StreamTurns: which streams have a connection.  Each holds one, also while nobody reads, so they
// get half of them and no more; others wait for their turn.
//
// A turn ends with the download, or when the stream stands still and somebody else waits: another
// stream, or a request that gets no connection.  It is left some time to be read on, for its file
// would be sent from the start again, but not where there is one connection for all.
//
// The engine's thread only, and not from within libcurl.

#include <list>

#include "base/ref.h"
#include "origins/http/engine.h"

namespace netfs::origins::http {

class Stream;

class StreamTurns {
 public:
  explicit StreamTurns(Engine& engine);
  ~StreamTurns();
  StreamTurns(const StreamTurns&) = delete;
  StreamTurns& operator=(const StreamTurns&) = delete;

  // turn_came() is called for it, from within or later; once, however often it asks before.
  void ask(Stream& stream);
  // It has no download any more.
  void end(const Stream& stream);
  // It does not wait any more either.
  void leave(const Stream& stream);
  // Streams that stand still go where somebody waits.
  void make_room();

 private:
  void let_in();
  [[nodiscard]] bool somebody_waits() const;

  Engine& engine_;
  std::list<Stream*> open_;  // oldest first; their downloads hold them
  std::list<Ref<Stream>> queue_;
  bool timed_ = false;
};

}  // namespace netfs::origins::http
