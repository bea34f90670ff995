#include "base/crc32c.h"

#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <string_view>
#include <vector>

namespace netfs {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(Crc32c, MatchesThePublishedCheckValue) {
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c({}), 0u);
}

// Method: a bit-by-bit CRC beside ours, over random data of many lengths and alignments.
TEST(Crc32c, EqualsTheDefinitionForEveryLengthAndAlignment) {
  std::mt19937 random(1);
  std::vector<std::byte> data(20000);
  for (std::byte& b : data) b = static_cast<std::byte>(random());
  for (size_t length : {0, 1, 7, 8, 9, 63, 1344, 4031, 4032, 4033, 4096, 8192, 12289}) {
    for (size_t shift : {0, 1, 3}) {
      uint32_t expected = ~0u;
      for (size_t i = 0; i < length; ++i) {
        expected ^= static_cast<uint32_t>(data[shift + i]);
        for (int bit = 0; bit < 8; ++bit) {
          expected = (expected >> 1) ^ ((expected & 1) ? 0x82f63b78u : 0);
        }
      }
      EXPECT_EQ(crc32c(std::span(data).subspan(shift, length)), ~expected) << length;
    }
  }
}

TEST(Crc32c, ChainsOverPieces) {
  const auto whole = bytes_of("the quick brown fox");
  EXPECT_EQ(crc32c(whole.subspan(7), crc32c(whole.first(7))), crc32c(whole));
}

}  // namespace
}  // namespace netfs
