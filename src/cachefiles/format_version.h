#pragma once
// The version of a cache directory's form: a netfs of another one refuses it.

#include <cstdint>

namespace netfs::cachefiles {

inline constexpr uint64_t kFormatVersion = 1;

}  // namespace netfs::cachefiles
