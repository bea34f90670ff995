#include "origins/http/http_file.h"

namespace netfs::origins::http {

void FileState::read_by_stream(Subrequest& subrequest) {
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
