#pragma once
// HttpFile: an open file of an HTTP origin: where it is, and which version was seen when it was
// opened.  Nothing is open at the server.
//
// What reads need lives in FileState, which they keep while they run.

#include <array>
#include <memory>
#include <string>
#include <utility>

#include "base/ref.h"
#include "netfs/origin.h"
#include "origins/http/edition.h"
#include "origins/http/read_side.h"
#include "origins/http/stream.h"

namespace netfs::origins::http {

class FileState : public RefCounted<FileState> {
 public:
  FileState(ReadSide& side, std::string url, Edition edition)
      : side_(side), source_({.url = std::move(url), .edition = std::move(edition)}) {}

  [[nodiscard]] ReadSide& side() const { return side_; }
  [[nodiscard]] const ReadSource& source() const { return source_; }

  // The engine's thread only.
  void read_by_stream(Subrequest& subrequest);
  void close_streams();
  // Whether ranges are worth asking for.
  [[nodiscard]] bool has_ranges() const {
    if (ranges_ignored_ || source().edition.ranges_denied) return false;
    return source().edition.ranges_said || !side_.ranges_ignored;
  }
  // Of this file: what the others do is another matter.
  void note_ranges_ignored() { ranges_ignored_ = true; }

 private:
  ReadSide& side_;
  const ReadSource source_;
  // Two, as soon as somebody reads far behind somebody else: taking turns, each would have the file
  // sent from its start again and again.
  std::array<Ref<Stream>, 2> streams_;
  bool ranges_ignored_ = false;
};

class HttpFile final : public OriginFile {
 public:
  explicit HttpFile(Ref<FileState> state) : state_(std::move(state)) {}
  ~HttpFile() override {
    state_->side().engine.post([state = state_] { state->close_streams(); });
  }
  [[nodiscard]] const Ref<FileState>& state() const { return state_; }

 private:
  const Ref<FileState> state_;
};

}  // namespace netfs::origins::http
