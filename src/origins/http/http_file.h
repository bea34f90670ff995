#pragma once
// HttpFile: an open file of an HTTP origin: where it is, and which version was seen when it was
// opened.  Nothing is open at the server.
//
// What reads need lives in FileState, which they keep while they run.

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
      : side_(side),
        stream_(make_ref<Stream>(
            side, ReadSource{.url = std::move(url), .edition = std::move(edition)})) {}

  [[nodiscard]] ReadSide& side() const { return side_; }
  [[nodiscard]] const ReadSource& source() const { return stream_->source(); }

  // The engine's thread only.
  [[nodiscard]] Stream& stream() const { return *stream_; }
  // Whether ranges are worth asking for.
  [[nodiscard]] bool has_ranges() const {
    if (ranges_ignored_ || source().edition.ranges_denied) return false;
    return source().edition.ranges_said || !side_.ranges_ignored;
  }
  void note_ranges_ignored() {
    ranges_ignored_ = true;
    side_.ranges_ignored = true;
    side_.ranges_known = true;
  }

 private:
  ReadSide& side_;
  const Ref<Stream> stream_;
  bool ranges_ignored_ = false;
};

class HttpFile final : public OriginFile {
 public:
  explicit HttpFile(Ref<FileState> state) : state_(std::move(state)) {}
  ~HttpFile() override {
    state_->side().engine.post([state = state_] { state->stream().close(); });
  }
  [[nodiscard]] const Ref<FileState>& state() const { return state_; }

 private:
  const Ref<FileState> state_;
};

}  // namespace netfs::origins::http
