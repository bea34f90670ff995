#pragma once
// What the tests of files that are fetched ahead of who reads them share, whatever they come from.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/support/netfs_mount.h"
#include "tests/support/process.h"
#include "tests/support/wait.h"

namespace netfs::test {

// So many of a directory's names as somebody opens them who goes through it at random, and goes on
// nowhere by chance: none lies near the two before it, neither as they are listed nor by name.
inline std::vector<std::string> far_apart(const std::vector<std::string>& listed, size_t count) {
  constexpr std::ptrdiff_t kNear = 8;
  std::vector<std::string> named = listed;
  std::sort(named.begin(), named.end());
  const auto near = [](const std::vector<std::string>& all, const std::string& a,
                       const std::string& b) {
    return std::abs(std::find(all.begin(), all.end(), a) - std::find(all.begin(), all.end(), b)) <=
           kNear;
  };
  std::vector<std::string> left = listed;
  std::shuffle(left.begin(), left.end(), std::minstd_rand(5));
  std::vector<std::string> order;
  while (order.size() < count) {
    const auto next = std::find_if(left.begin(), left.end(), [&](const std::string& name) {
      return std::none_of(order.end() - std::min<std::ptrdiff_t>(2, std::ssize(order)), order.end(),
                          [&](const std::string& last) {
                            return near(listed, name, last) || near(named, name, last);
                          });
    });
    if (next == left.end()) break;
    order.push_back(*next);
    left.erase(next);
  }
  return order;
}

inline nlohmann::json files_ahead_of(const NetfsMount& mount) {
  return mount.status()["mounts"][0]["files_ahead"];
}

// What was fetched and nobody reads any more, of files that all have so many bytes, comes to be
// counted as wasted, and `netfs status` shows it.
inline void expect_shown_as_wasted(const NetfsMount& mount, size_t bytes_each, Duration patience) {
  nlohmann::json ahead;
  unsigned wasted = 0;
  const auto settled = [&] {
    ahead = files_ahead_of(mount);
    wasted = ahead["wasted"].get<unsigned>();
    return wasted > 0 && ahead["fetched"].get<unsigned>() == ahead["used"].get<unsigned>() + wasted;
  };
  ASSERT_TRUE(wait_until(settled, patience)) << ahead;
  EXPECT_EQ(ahead["wasted_bytes"].get<size_t>(), wasted * bytes_each) << ahead;
  char kibibytes[32];
  std::snprintf(kibibytes, sizeof kibibytes, "%.1f KiB",
                static_cast<double>(wasted * bytes_each) / 1024);
  const Finished shown = run({netfs_binary(), "status", mount.path()}, patience);
  EXPECT_NE(shown.output.find("files ahead  " + ahead["fetched"].dump() + " fetched, " +
                              ahead["used"].dump() + " of them read; " + kibibytes + " wasted"),
            std::string::npos)
      << kibibytes << ": " << shown.output;
}

}  // namespace netfs::test
