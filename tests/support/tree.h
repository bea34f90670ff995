#pragma once
// Trees of files with known bytes, and comparisons of a mount with its source.

#include <cstdint>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "base/byte_range.h"
#include "base/result.h"

namespace netfs::test {

// Bytes that can be told from those of any other place: each word holds its offset mixed with
// `seed`.
std::string pattern(uint64_t seed, uint64_t offset_bytes, uint64_t length_bytes);

// Writes a file whole; its mtime is set `age` into the past, so that it is not hot.
void write_file(const std::string& path, const std::string& bytes,
                std::chrono::seconds age = std::chrono::hours(1));

// A range of a file by pread; short at the end of the file.
Result<std::string> read_range(const std::string& path, ByteRange range);
Result<std::string> read_whole(const std::string& path);

// The names in a directory, sorted, without "." and "..".
Result<std::vector<std::string>> list_names(const std::string& path);

// Whether two files hold the same bytes; says where not.
testing::AssertionResult same_bytes(const std::string& path, const std::string& source);

// Makes the kernel forget names and inodes that nobody uses, on all mounts; needs root.
void drop_dentries();

// Makes the kernel forget the cached pages of one file.
void drop_pages(const std::string& path);

// The seed of a random test: NETFS_TEST_SEED, or the clock; printed.
uint64_t test_seed();

}  // namespace netfs::test
