#pragma once
// HttpFile: an open file of an HTTP origin: where it is, and which version was seen when it was
// opened, or by the first answer to a read where it is opened by that.  Nothing is open at the
// server.
//
// What reads need lives in FileState, which they keep while they run.

#include <array>
#include <atomic>
#include <memory>
#include <optional>
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
  // No edition: its first read opens it.
  FileState(ReadSide& side, std::string url, std::optional<Edition> edition)
      : side_(side),
        is_open_(edition.has_value()),
        source_({.url = std::move(url), .edition = {}, .by_read = !is_open_}) {
    if (edition) source_.edition = *std::move(edition);
  }

  [[nodiscard]] ReadSide& side() const { return side_; }
  [[nodiscard]] const ReadSource& source() const { return source_; }

  // The engine's thread only.
  // Of an answer with bytes: takes the version that it is of, if none was seen before.  An error
  // where the answer does not tell one.
  Result<void> open_by(const ResponseHead& head);
  [[nodiscard]] bool is_open() const { return is_open_; }
  void read_by_stream(Subrequest& subrequest);
  // Whether some of it came as a stream; any thread.
  [[nodiscard]] bool is_streamed() const { return is_streamed_.load(); }
  void close_streams();
  // Whether ranges are worth asking for, once it is open.
  [[nodiscard]] bool has_ranges() const {
    if (ranges_ignored_ || source().edition.ranges_denied) return false;
    return source().edition.ranges_said || !side_.ranges_ignored;
  }
  // Of this file: what the others do is another matter.
  void note_ranges_ignored() { ranges_ignored_ = true; }

 private:
  ReadSide& side_;
  bool is_open_;
  ReadSource source_;  // constant once it is open
  // Two, as soon as somebody reads far behind somebody else: taking turns, each would have the file
  // sent from its start again and again.
  std::array<Ref<Stream>, 2> streams_;
  bool ranges_ignored_ = false;
  std::atomic<bool> is_streamed_{false};
};

class HttpFile final : public OriginFile {
 public:
  explicit HttpFile(Ref<FileState> state) : state_(std::move(state)) {}
  ~HttpFile() override {
    state_->side().engine.post([state = state_] { state->close_streams(); });
  }
  [[nodiscard]] bool holds_bytes() const override { return state_->is_streamed(); }
  [[nodiscard]] const Ref<FileState>& state() const { return state_; }

 private:
  const Ref<FileState> state_;
};

}  // namespace netfs::origins::http
