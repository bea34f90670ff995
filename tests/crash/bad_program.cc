// What may lie where a new netfs is looked for.  Its name says how it behaves.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <unistd.h>

namespace {

bool is_probe(int argc, char** argv) {
  return argc >= 3 && std::strcmp(argv[1], "daemon") == 0 && std::strcmp(argv[2], "--probe") == 0;
}

// Of this netfs, but for its arena; `reads_ours`: it only writes another one.
int say_another_arena(bool reads_ours) {
  const std::string command = std::string(NETFS_TEST_BINARY) + " daemon --probe";
  std::FILE* probe = ::popen(command.c_str(), "r");
  if (probe == nullptr) return 1;
  std::string said(1 << 16, '\0');
  said.resize(std::fread(said.data(), 1, said.size(), probe));
  ::pclose(probe);
  nlohmann::json formats = nlohmann::json::parse(said, nullptr, false);
  if (!formats.is_object()) return 1;
  nlohmann::json& arena = formats["formats"]["arena"];
  if (!reads_ours) arena["reads"] = nlohmann::json::array();
  arena["writes"] = 1;
  arena["reads"].push_back(1);
  std::printf("%s", formats.dump().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = std::filesystem::read_symlink("/proc/self/exe").filename();
  if (name == "another-arena") return say_another_arena(/*reads_ours=*/false);
  if (name == "newer-arena") return say_another_arena(/*reads_ours=*/true);
  if (name == "hangs") return ::pause();
  if (name == "dies-at-its-start" && is_probe(argc, argv)) {
    ::execv(NETFS_TEST_BINARY, argv);
    return 1;
  }
  if (name == "ends-at-its-start" && is_probe(argc, argv)) {
    ::execv(NETFS_TEST_BINARY, argv);
    return 1;
  }
  if (name == "ends-at-its-start") return 0;
  ::signal(SIGSEGV, SIG_DFL);
  return ::raise(SIGSEGV);
}
