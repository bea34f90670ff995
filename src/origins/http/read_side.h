#pragma once
// ReadSide: what the reads of all files of one origin share: the engine, what was learnt of the
// server, and how many whole-file streams are open.
//
// The engine's thread only, but for what is atomic.

#include <atomic>
#include <list>

#include "origins/http/engine.h"

namespace netfs::origins::http {

class Stream;

struct ReadSide {
  explicit ReadSide(Engine& the_engine) : engine(the_engine) {}

  Engine& engine;
  // Of files whose head does not say whether they have ranges: what became of one that was asked.
  std::atomic<bool> ranges_known{false};
  std::atomic<bool> ranges_ignored{false};
  std::atomic<bool> encoding_told{false};  // a line is in the log
  // Oldest first.  Each holds a connection, also while nobody reads.
  std::list<Stream*> open_streams;
};

// EIO where an answer is compressed although "identity" was asked for: its bytes are not the
// file's.  Says so in the log, once.
Result<void> refuse_encoding(ReadSide& side, const ResponseHead& head, const std::string& url);

}  // namespace netfs::origins::http
