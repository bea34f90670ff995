// Goal: `netfs origins` says what is installed and which options it takes, the manual says the
// same, and a module that does not load is one line while the others are listed.

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/netfs_mount.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kBound{60};

Finished origins(std::vector<std::string> words) {
  words.insert(words.begin(), {netfs_binary(), "origins"});
  return run(words, kBound);
}

// The first table of docs/origins.md: by scheme, its columns.
std::map<std::string, std::vector<std::string>> manual() {
  std::ifstream file(NETFS_TEST_ORIGINS_MANUAL);
  std::map<std::string, std::vector<std::string>> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() && !rows.empty()) break;
    if (!line.starts_with("| `")) continue;
    std::vector<std::string> cells;
    std::istringstream rest(line.substr(2));
    for (std::string cell; std::getline(rest, cell, '|');) {
      const size_t end = cell.find_last_not_of(' ');
      const size_t begin = cell.find_first_not_of(' ');
      if (end != std::string::npos) cells.push_back(cell.substr(begin, end + 1 - begin));
    }
    std::istringstream schemes(cells.front());
    for (std::string scheme; schemes >> scheme;) {
      rows[scheme.substr(1, scheme.find(':') - 1)] = {cells.begin() + 1, cells.end()};
    }
  }
  return rows;
}

TEST(Origins, TheManualsTableSaysTheSame) {
  const Finished finished = origins({"--json"});
  ASSERT_EQ(finished.status, 0) << finished.output;
  const auto listed = nlohmann::json::parse(finished.output, nullptr, false);
  ASSERT_TRUE(listed.is_object()) << finished.output;
  const auto rows = manual();
  ASSERT_EQ(rows.size(), 6U);
  size_t compared = 0;
  for (const auto& origin : listed["origins"]) {
    const auto row = rows.find(origin["scheme"].get<std::string>());
    if (row == rows.end()) continue;  // an example's
    ++compared;
    const std::vector<std::string> said = {origin["on"], origin["validator"], origin["identity"],
                                           origin["changes"], origin["locks"]};
    EXPECT_EQ(said, row->second) << row->first;
  }
  EXPECT_EQ(compared, rows.size()) << finished.output;
}

TEST(Origins, OneIsListedWithTheOptionsThatItTakes) {
  const Finished finished = origins({"sftp"});
  EXPECT_EQ(finished.status, 0);
  EXPECT_NE(finished.output.find("sftp: (version "), std::string::npos) << finished.output;
  EXPECT_NE(finished.output.find("-o known_hosts="), std::string::npos) << finished.output;
  EXPECT_EQ(finished.output.find("http"), std::string::npos) << finished.output;
}

TEST(Origins, OneThatIsNotThereNamesThoseThatAre) {
  const Finished finished = origins({"gopher"});
  EXPECT_NE(finished.status, 0);
  EXPECT_NE(finished.output.find("unknown scheme 'gopher'"), std::string::npos) << finished.output;
  EXPECT_NE(finished.output.find("sftp"), std::string::npos) << finished.output;
}

TEST(Origins, OneThatDoesNotLoadIsALineAndTheOthersAreListed) {
  const TempDir temp;
  const std::string directory = temp.make_dir("modules");
  const std::filesystem::path program = netfs_binary();
  const std::string modules = (program.parent_path().parent_path() / "lib/netfs/").string();
  std::filesystem::copy_file(modules + "libnetfs-origin-file.so",
                             directory + "/libnetfs-origin-file.so");
  write_file(directory + "/libnetfs-origin-broken.so", {});
  const Finished finished = origins({"--module-dir", directory});
  EXPECT_NE(finished.status, 0);
  EXPECT_NE(finished.output.find("libnetfs-origin-broken.so does not load"), std::string::npos)
      << finished.output;
  EXPECT_NE(finished.output.find("a local folder"), std::string::npos) << finished.output;
}

TEST(Origins, WhereThereAreNoneThatIsSaid) {
  const TempDir temp;
  const Finished finished = origins({"--module-dir", temp.make_dir("empty")});
  EXPECT_NE(finished.status, 0);
  EXPECT_NE(finished.output.find("--module-dir says where else"), std::string::npos)
      << finished.output;
}

}  // namespace
}  // namespace netfs::test
