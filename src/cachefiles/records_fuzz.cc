// Any bytes as records: no decoder may crash or claim more than a record can hold.

#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "base/crc32c.h"
#include "cachefiles/block_map.h"
#include "cachefiles/limits.h"
#include "cachefiles/records.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace netfs::cachefiles;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // A right checksum at the end, so that the fields behind it are reached.
  const std::string key(bytes.substr(0, std::min<size_t>(size, 13)));
  const std::string body(bytes.substr(key.size()));
  const uint32_t of_key = netfs::crc32c(std::as_bytes(std::span(key.data(), key.size())));
  const uint32_t crc = netfs::crc32c(std::as_bytes(std::span(body.data(), body.size())), of_key);
  std::string value = body;
  for (int i = 0; i < 4; ++i) value.push_back(static_cast<char>(crc >> (8 * i)));
  const auto object = decode_object(key, value);
  if (object) {
    NETFS_ASSERT(object->size_bytes <= kFileBytesMax);
    NETFS_ASSERT(encode_object(key, *object).size() <= value.size());
  }
  (void)decode_meta(key, value);
  (void)decode_volume(key, value);
  (void)decode_recency(key, value);
  (void)parse_object_key(bytes);
  (void)parse_recency_key(bytes);
  (void)parse_part_number(bytes);
  const auto words = decode_presence(key, value);
  if (words) {
    BlockMap map(kFileBytesMax >> 10);
    map.load_segment(0, *words);
    NETFS_ASSERT(decode_presence(key, encode_presence(key, *words)) == words);
  }
  const auto sums = decode_checksums(key, value);
  if (sums) (void)CrcChunk::from_record(*sums, kBlocksPerChunk * kPagesPerBlock);
  return 0;
}
