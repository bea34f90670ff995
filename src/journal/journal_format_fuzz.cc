// Any bytes as a segment's header and as a record: no decoder may crash, and what one takes is what
// its encoder writes.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/crc32c.h"
#include "journal/journal_format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace netfs::journal;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)decode_segment_header(bytes);
  (void)decode_record_header(bytes);
  (void)decode_record(bytes);
  if (size < kRecordHeaderBytes || size > kRecordHeaderBytes + kBodyBytesMax) return 0;
  // A right length and checksum, so that the fields behind it are reached.
  std::string record(bytes);
  record.replace(0, 4, "NJR1");
  const auto put = [&](size_t at, uint32_t value) {
    for (size_t i = 0; i < 4; ++i) record[at + i] = static_cast<char>(value >> (8 * i));
  };
  put(8, static_cast<uint32_t>(size - kRecordHeaderBytes));
  const std::string_view checked = std::string_view(record).substr(8);
  put(4, netfs::crc32c(std::as_bytes(std::span(checked.data(), checked.size()))));
  const auto decoded = decode_record(record);
  if (decoded && !is_addition(decoded->kind)) {
    NETFS_ASSERT(decoded->path.size() <= kPathBytesMax);
    NETFS_ASSERT(encode_body(*decoded).size() == size - kRecordHeaderBytes);
  }
  return 0;
}
