#pragma once
// Content: bytes that can be checked at any offset without a second copy, and trees made of them.
//
// The 8-byte word at offset 8*i of a file is a hash of the file's seed and i; a timed read checks
// one word of each block it got (an addition too small to see), verify_file checks all.
// A file's time is set a day back, so that it counts as settled.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace netfs::bench {

// splitmix64's finaliser: every bit of the input moves every bit of the output.
[[nodiscard]] constexpr uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

[[nodiscard]] constexpr uint64_t word_at(uint64_t seed, uint64_t offset_bytes) {
  return mix(mix(seed) + offset_bytes / 8);
}

// Both take offsets that are multiples of 8.
void fill_content(std::span<std::byte> out, uint64_t seed, uint64_t offset_bytes);
[[nodiscard]] inline bool first_word_is_right(const void* data, uint64_t seed,
                                              uint64_t offset_bytes) {
  uint64_t word;
  __builtin_memcpy(&word, data, sizeof word);
  return word == word_at(seed, offset_bytes);
}

struct FileSpec {
  std::string path;
  uint64_t seed = 0;
  uint64_t size_bytes = 0;  // a multiple of 8
};

Result<void> make_file(const FileSpec& file);
// EBADMSG names the offset of the first wrong word or the wrong size.
Result<void> verify_file(const FileSpec& file);

// A tree of `count` files, `per_directory` each in directories d000, d001, ...; sizes are spread
// evenly over [min, max], multiples of 8.  Paths are relative to the root.
struct TreeSpec {
  uint64_t seed = 0;
  size_t count = 0;
  size_t per_directory = 100;
  uint64_t min_bytes = 0;
  uint64_t max_bytes = 0;
};

std::vector<FileSpec> tree_files(const TreeSpec& tree);
Result<void> make_tree(const std::string& root, const TreeSpec& tree);

}  // namespace netfs::bench
