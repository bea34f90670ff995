// Any bytes as a stored listing: the decoder neither crashes nor gives what no listing can hold,
// and what it gives encodes to what it was; nor does who adds targets of links.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/crc32c.h"
#include "netfs/names_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace netfs;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)NamesDecoder::open(bytes, "");
  // A right checksum at the end, so that the fields before it are reached.
  std::string sealed(bytes);
  const uint32_t crc = crc32c(std::as_bytes(std::span(sealed.data(), sealed.size())));
  for (int i = 0; i < 4; ++i) sealed.push_back(static_cast<char>(crc >> (8 * i)));
  std::optional<NamesDecoder> decoder = NamesDecoder::open(sealed, "");
  if (!decoder) return 0;
  NamesEncoder encoder("", decoder->head());
  while (std::optional<StoredName> one = decoder->next()) {
    NETFS_ASSERT(!one->entry.name.empty() && one->entry.name.size() <= kNameBytesMax);
    NETFS_ASSERT(one->entry.info.attributes.mtime.nanoseconds < 1'000'000'000);
    encoder.add(one->entry, one->target ? &*one->target : nullptr);
  }
  NETFS_ASSERT(encoder.fits());
  const std::string again = encoder.finish(decoder->head().took);
  NETFS_ASSERT(NamesDecoder::open(again, "").has_value());
  const std::string amended =
      add_targets(sealed, "", [](const OriginEntry& link) { return link.name; });
  if (amended.empty()) return 0;
  const std::optional<NamesDecoder> more = NamesDecoder::open(amended, "");
  NETFS_ASSERT(more && more->entries_crc() == decoder->entries_crc());
  return 0;
}
