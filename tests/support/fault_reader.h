#pragma once
// Where the program fault_reader is: see fault_reader.cc.

#include <string>

namespace netfs::test {

inline std::string fault_reader() {
  return NETFS_TEST_FAULT_READER;
}

}  // namespace netfs::test
