#include "netfs/write_request.h"

#include <algorithm>
#include <utility>

#include "netfs/live_file.h"

namespace netfs {

uint64_t WriteStream::collected_bytes() const {
  uint64_t sum = 0;
  for (const WritePart& part : parts) {
    sum += part.done_bytes;
    if (part.state != WritePartState::kDone) break;
  }
  return sum;
}

const WritePart* WriteStream::front() const {
  const auto found = std::find_if(parts.begin(), parts.end(), [](const WritePart& part) {
    return part.state != WritePartState::kDone;
  });
  return found == parts.end() ? nullptr : &*found;
}

std::optional<MonoTime> WriteStream::held_until() const {
  std::optional<MonoTime> until;
  for (const WritePart& part : parts) {
    if (part.state != WritePartState::kInFlight || !part.until) continue;
    until = std::min(until.value_or(MonoTime::max()), *part.until);
  }
  return until;
}

void tile(ByteRange range, uint64_t piece_bytes, std::vector<WritePart>& parts) {
  for (uint64_t at = 0; at < range.length_bytes; at += piece_bytes) {
    parts.push_back(
        {.range = {range.offset_bytes + at, std::min(piece_bytes, range.length_bytes - at)}});
  }
}

void tile_again(WriteStream& stream, uint64_t piece_bytes) {
  NETFS_ASSERT(stream.in_flight == 0);
  std::vector<WritePart> parts;
  for (const WritePart& part : stream.parts) {
    if (part.state == WritePartState::kDone) {
      parts.push_back(part);
      continue;
    }
    if (part.done_bytes > 0) {
      parts.push_back({.range = {part.range.offset_bytes, part.done_bytes},
                       .state = WritePartState::kDone,
                       .done_bytes = part.done_bytes});
    }
    tile({part.range.offset_bytes + part.done_bytes, part.range.length_bytes - part.done_bytes},
         piece_bytes, parts);
  }
  stream.parts = std::move(parts);
}

WriteRequest::WriteRequest(uint64_t number, Ref<LiveFile> of, ByteRange asked, BufferSlice from,
                           WritePieces how, const sync::Context& asker, MonoTime now,
                           MonoTime until)
    : Request(number, asked, asker, now, until),
      file(std::move(of)),
      data(std::move(from)),
      pieces(how) {}
WriteRequest::~WriteRequest() = default;

void WriteRequest::end(Error error) {
  file->end_write(*this, std::move(error));
}
MonoTime WriteRequest::waits_until() const {
  return file->waits_until(*this);
}
std::string WriteRequest::path() const {
  return file->path();
}
std::string WriteRequest::what_it_waits_for() const {
  return file->what_it_waits_for(*this);
}

}  // namespace netfs
