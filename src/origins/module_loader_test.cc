// Goal: each mistake with modules is one clear line, and a module shares the program's one of
// everything.  Method: modules made for it, beside this test (testing/).

#include "origins/module_loader.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include "sync/context.h"

namespace netfs::origins {
namespace {

const std::string kModules = NETFS_TEST_MODULES;

Result<std::unique_ptr<Origin>> open(const std::string& url, const std::string& directory,
                                     OriginOptions options = {}) {
  return open_origin({.url = MUST(Url::parse(url)), .options = std::move(options)}, directory);
}

bool says(const Error& error, const std::string& words) {
  return error.message().find(words) != std::string::npos &&
         error.message().find('\n') == std::string::npos;
}

TEST(ModuleLoader, AnUnknownSchemeNamesTheKnownOnes) {
  const auto origin = open("gopher://h/x", kModules);
  ASSERT_TRUE(origin.is_error(EPROTONOSUPPORT));
  EXPECT_TRUE(says(origin.error(), "unknown scheme 'gopher'")) << origin.error().message();
  EXPECT_TRUE(says(origin.error(), "probe")) << origin.error().message();
}

TEST(ModuleLoader, AMissingModuleSaysWhichFileIsMissing) {
  const auto origin = open("sftp://h/x", kModules);
  ASSERT_TRUE(origin.is_error(ENOENT));
  EXPECT_TRUE(says(origin.error(), kModules + "/libnetfs-origin-sftp.so"))
      << origin.error().message();
}

TEST(ModuleLoader, AModuleOfAnotherAbiIsRefused) {
  const auto origin = open("foreign://h/x", kModules);
  ASSERT_TRUE(origin.is_error(EPROTO));
  EXPECT_TRUE(says(origin.error(), "ABI 9999")) << origin.error().message();
}

TEST(ModuleLoader, ASharedObjectThatIsNoModuleIsRefused) {
  const auto origin = open("no://h/x", kModules);
  ASSERT_TRUE(origin.is_error(ELIBBAD));
  EXPECT_TRUE(says(origin.error(), "no origin module")) << origin.error().message();
}

TEST(ModuleLoader, AFileThatIsNoSharedObjectIsRefused) {
  std::string directory = "/tmp/netfs-modules-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  std::ofstream(directory + "/libnetfs-origin-text.so") << "not a program";
  const auto origin = open("text://h/x", directory);
  std::filesystem::remove_all(directory);
  ASSERT_TRUE(origin.is_error(ELIBBAD));
  EXPECT_TRUE(says(origin.error(), "does not load")) << origin.error().message();
}

TEST(ModuleLoader, AnOptionTheModuleDoesNotTakeIsRefused) {
  const auto refused = open("probe://h/x", kModules, {{"colour", "red"}});
  ASSERT_TRUE(refused.is_error(EINVAL));
  EXPECT_TRUE(says(refused.error(), "colour")) << refused.error().message();
  EXPECT_TRUE(open("probe://h/x", kModules, {{"color", "red"}}).is_error(ENOTSUP));
}

TEST(ModuleLoader, AModuleSharesTheProgramsContextsAndClock) {
  const sync::Context context;
  const sync::ContextScope scope(context);
  const auto origin = open("probe://h/path", kModules);
  ASSERT_TRUE(origin.is_error(ENOTSUP));
  EXPECT_EQ(origin.error().message(),
            fmt::format("{} {} /path", static_cast<const void*>(&Clock::system()),
                        static_cast<const void*>(&context)));
}

TEST(ModuleLoader, AModuleIsLoadedOnce) {
  const auto first = load_module("probe", kModules);
  const auto second = load_module("probe", kModules);
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(first.value(), second.value());
}

TEST(ModuleLoader, ModulesLieInLibBesideBin) {
  char program[4096] = {};
  ASSERT_GT(::readlink("/proc/self/exe", program, sizeof program - 1), 0);
  const std::filesystem::path bin = std::filesystem::path(program).parent_path();
  EXPECT_EQ(default_module_directory(), (bin.parent_path() / "lib" / "netfs").string());
}

}  // namespace
}  // namespace netfs::origins
