#pragma once
// describe_tree(): what a stranger sees of a tree, a line a name: type and mode, size, bytes (as
// a hash) or target.  Two trees that hold the same are described the same.  Thread-safe.
//
//   EXPECT_EQ(describe_tree(mount.path()), describe_tree(source));

#include <string>

namespace netfs::test {

std::string describe_tree(const std::string& root);

}  // namespace netfs::test
