#include "origins/http/http_file.h"

#include "base/assert.h"
#include "origins/http/answer_error.h"

namespace netfs::origins::http {

Result<void> FileState::open_by(const ResponseHead& head) {
  if (is_open_) return {};
  std::optional<uint64_t> size;
  if (head.status() == 200) size = head.content_length();
  if (head.status() == 206 && head.content_range()) size = head.content_range()->total_bytes;
  if (!size) {
    if (head.status() >= 300) return error_of_status(head.status(), source_.url);
    return Error(EIO, "http.open", source_.url + ": the answer does not say how long the file is");
  }
  Edition edition = edition_of(head, *size, side_.engine.wall_seconds());
  if (edition.validator.strength == ValidatorStrength::kNone) {
    return Error(EIO, "http.open",
                 source_.url + ": the answer does not say of which version it is");
  }
  // A part is as good as the promise of one, which need not stand beside it.
  edition.ranges_said = edition.ranges_said || head.status() == 206;
  source_.edition = std::move(edition);
  is_open_ = true;
  return {};
}

void FileState::read_by_stream(Subrequest& subrequest) {
  NETFS_ASSERT(is_open_);
  is_streamed_ = true;
  const uint64_t offset = subrequest.range().offset_bytes;
  Ref<Stream> best;
  for (const Ref<Stream>& stream : streams_) {
    if (!stream || !stream->comes_by(offset)) continue;
    if (!best || stream->position_byte() > best->position_byte()) best = stream;
  }
  // None: the first on which nobody reads ahead.
  for (Ref<Stream>& stream : streams_) {
    if (best) break;
    if (!stream) stream = make_ref<Stream>(side_, source_);
    if (!stream->is_read()) best = stream;
  }
  if (!best) best = streams_.front();
  best->add(subrequest);
}

void FileState::close_streams() {
  for (const Ref<Stream>& stream : streams_) {
    if (stream) stream->close();
  }
}

}  // namespace netfs::origins::http
