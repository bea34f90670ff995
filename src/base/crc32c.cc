#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace netfs {

namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected 0x1EDC6F41

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = make_table();

uint32_t crc_by_table(const unsigned char* p, size_t n, uint32_t crc) {
  for (; n > 0; --n, ++p) crc = (crc >> 8) ^ kTable[(crc ^ *p) & 0xff];
  return crc;
}

#if defined(__x86_64__)

// Advances `crc` over kLane bytes of zeroes: the linear map by which lanes are joined.
constexpr size_t kLane = 1344;  // three lanes are 4032 bytes: nearly a page, a multiple of 8

constexpr uint32_t advance_over_zeroes(uint32_t crc, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) crc = (crc >> 8) ^ kTable[crc & 0xff];
  return crc;
}

constexpr std::array<std::array<uint32_t, 256>, 4> make_shift_table() {
  // One map a bit, then a table a byte, so that joining costs four look-ups.
  std::array<uint32_t, 32> bit_map{};
  for (int bit = 0; bit < 32; ++bit) bit_map[bit] = advance_over_zeroes(1u << bit, kLane);
  std::array<std::array<uint32_t, 256>, 4> table{};
  for (int byte = 0; byte < 4; ++byte) {
    for (uint32_t value = 0; value < 256; ++value) {
      uint32_t sum = 0;
      for (int bit = 0; bit < 8; ++bit) {
        if (value & (1u << bit)) sum ^= bit_map[byte * 8 + bit];
      }
      table[byte][value] = sum;
    }
  }
  return table;
}

const std::array<std::array<uint32_t, 256>, 4> kShift = make_shift_table();

uint32_t shift_lane(uint64_t crc) {
  return kShift[0][crc & 0xff] ^ kShift[1][(crc >> 8) & 0xff] ^ kShift[2][(crc >> 16) & 0xff] ^
         kShift[3][(crc >> 24) & 0xff];
}

uint64_t load_u64(const unsigned char* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// The instruction has a latency of three cycles and a throughput of one: three lanes keep it busy.
__attribute__((target("sse4.2"))) uint32_t crc_by_instruction(const unsigned char* p, size_t n,
                                                              uint32_t crc32) {
  uint64_t crc = crc32;
  while (n >= 3 * kLane) {
    uint64_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < kLane; i += 8) {
      a = _mm_crc32_u64(a, load_u64(p + i));
      b = _mm_crc32_u64(b, load_u64(p + kLane + i));
      c = _mm_crc32_u64(c, load_u64(p + 2 * kLane + i));
    }
    crc = shift_lane(shift_lane(a) ^ b) ^ c;
    p += 3 * kLane;
    n -= 3 * kLane;
  }
  for (; n >= 8; n -= 8, p += 8) crc = _mm_crc32_u64(crc, load_u64(p));
  for (; n > 0; --n, ++p) crc = _mm_crc32_u8(static_cast<uint32_t>(crc), *p);
  return static_cast<uint32_t>(crc);
}

#endif

}  // namespace

uint32_t crc32c(std::span<const std::byte> data, uint32_t seed) {
  const auto* p = reinterpret_cast<const unsigned char*>(data.data());
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return ~crc_by_instruction(p, data.size(), ~seed);
#endif
  return ~crc_by_table(p, data.size(), ~seed);
}

}  // namespace netfs
