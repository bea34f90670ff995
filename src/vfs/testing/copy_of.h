#pragma once
// A copy of the memory behind a descriptor as it is now: what a process leaves that dies here.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/unique_fd.h"

namespace netfs::vfs {

inline UniqueFd copy_of(int fd) {
  struct stat st {};
  EXPECT_EQ(::fstat(fd, &st), 0);
  UniqueFd copy(::memfd_create("left", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(copy.get(), st.st_size), 0);
  std::vector<char> bytes(1 << 20);
  for (off_t at = 0; at < st.st_size;) {
    const ssize_t got = ::pread(fd, bytes.data(), bytes.size(), at);
    if (got <= 0 || ::pwrite(copy.get(), bytes.data(), static_cast<size_t>(got), at) != got) {
      ADD_FAILURE() << "the arena cannot be copied";
      break;
    }
    at += got;
  }
  return copy;
}

}  // namespace netfs::vfs
