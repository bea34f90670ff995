#pragma once
// What fake_sftp_server serves.

#include <cstdint>

namespace netfs::test {

inline constexpr uint64_t kFakeFileBytes = 1'000'003;
inline constexpr uint64_t kFakeFileSeed = 42;

// In its directory, by the lie "dies-in-listing"; the variable names a file that tells the first
// connection from the others, and the test makes the same with kFakeSeen when it has seen a name.
inline constexpr int kFakeNames = 5000;
inline constexpr const char* kFakeMark = "NETFS_FAKE_MARK";
inline constexpr const char* kFakeSeen = ".seen";

}  // namespace netfs::test
