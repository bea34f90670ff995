#pragma once
// ReadSide: what the reads of all files of one origin share: the engine, what was learnt of the
// server, and the whole-file streams: whose turn
// it is, and how far they came.
//
// The engine's thread only, but for what is atomic.

#include <atomic>
#include <memory>

#include "origins/http/engine.h"
#include "origins/http/stream_turns.h"

namespace netfs::origins::http {

class StreamRecords;

struct ReadSide {
  explicit ReadSide(Engine& the_engine);
  ~ReadSide();
  ReadSide(const ReadSide&) = delete;
  ReadSide& operator=(const ReadSide&) = delete;

  Engine& engine;
  // Of files whose head does not say whether they have ranges: what became of one that was asked.
  std::atomic<bool> ranges_known{false};
  std::atomic<bool> ranges_ignored{false};
  std::atomic<bool> ranges_seen{false};    // some file has them
  std::atomic<bool> whole_read{false};     // the last file that was asked for a part of it has not
  std::atomic<bool> encoding_told{false};  // a line is in the log
  StreamTurns turns;
  const std::unique_ptr<StreamRecords> records;
};

// EIO where an answer is compressed although "identity" was asked for: its bytes are not the
// file's.  Says so in the log, once.
Result<void> refuse_encoding(ReadSide& side, const ResponseHead& head, const std::string& url);

}  // namespace netfs::origins::http
