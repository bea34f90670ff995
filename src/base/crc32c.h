#pragma once
// CRC-32C (Castagnoli), the checksum of cached pages and of records on disk.
//
// crc32c(data) of "123456789" is 0xe3069283.  Uses the SSE4.2 instruction where there is one, else
// a table.  `seed` is the CRC of the bytes before, so pieces can be chained.  Thread-safe.

#include <cstddef>
#include <cstdint>
#include <span>

namespace netfs {

uint32_t crc32c(std::span<const std::byte> data, uint32_t seed = 0);

}  // namespace netfs
