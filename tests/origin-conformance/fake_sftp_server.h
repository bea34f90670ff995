#pragma once
// What fake_sftp_server serves.

#include <cstdint>

namespace netfs::test {

inline constexpr uint64_t kFakeFileBytes = 1'000'003;
inline constexpr uint64_t kFakeFileSeed = 42;

}  // namespace netfs::test
