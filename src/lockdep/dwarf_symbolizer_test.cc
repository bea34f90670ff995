#include "lockdep/dwarf_symbolizer.h"

#include <array>
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <gtest/gtest.h>
#include <string>

#include "lockdep/stack_capture.h"

namespace netfs::lockdep {
namespace {

__attribute__((noinline)) uintptr_t return_address() {
  return reinterpret_cast<uintptr_t>(__builtin_return_address(0));
}

struct Here {
  uintptr_t address;
  int line;
};

__attribute__((noinline)) Here here_in_plain_function() {
  const Here here{return_address(), __LINE__};
  asm volatile("" ::: "memory");
  return here;
}

struct Inner {
  __attribute__((always_inline)) static Here here() {
    const Here place{return_address(), __LINE__};
    asm volatile("" ::: "memory");
    return place;
  }
};

constexpr int kCallLine = __LINE__ + 2;
__attribute__((always_inline)) inline Here middle() {
  return Inner::here();
}

constexpr int kOuterCallLine = __LINE__ + 2;
__attribute__((noinline)) Here outer() {
  Here place = middle();
  asm volatile("" : "+r"(place.line));
  return place;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// A shared object of the test's, unloaded at the end.
class Sample {
 public:
  explicit Sample(const char* path) : handle_(dlopen(path, RTLD_NOW | RTLD_LOCAL)) {}
  ~Sample() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  Sample(const Sample&) = delete;
  Sample& operator=(const Sample&) = delete;
  [[nodiscard]] uintptr_t call(const char* function) const {
    if (handle_ == nullptr) return 0;
    void* symbol = dlsym(handle_, function);
    return symbol == nullptr ? 0 : reinterpret_cast<uintptr_t (*)()>(symbol)();
  }

 private:
  void* handle_;
};

TEST(DwarfSymbolizer, AFunctionOfThisProgramHasNameOffsetFileAndLine) {
  DwarfSymbolizer symbolizer;
  const Here here = here_in_plain_function();
  const auto frames = symbolizer.resolve(here.address);
  ASSERT_EQ(frames.size(), 1U);
  const Frame& frame = frames[0];
  EXPECT_EQ(frame.function, "netfs::lockdep::(anonymous namespace)::here_in_plain_function");
  EXPECT_GT(frame.offset, 0U);
  EXPECT_LE(frame.offset, frame.length);
  EXPECT_EQ(here.address - frame.offset, reinterpret_cast<uintptr_t>(&here_in_plain_function));
  EXPECT_TRUE(ends_with(frame.file, "src/lockdep/dwarf_symbolizer_test.cc")) << frame.file;
  EXPECT_EQ(frame.line, here.line);
  EXPECT_TRUE(frame.in_program);
  EXPECT_FALSE(frame.inlined);
}

TEST(FileSymbolizer, APlaceInAFileHasTheNamesThatItHasInAProcess) {
  DwarfSymbolizer live;
  FileSymbolizer files;
  const Here here = outer();
  const auto loaded = live.resolve(here.address);
  const auto frames =
      files.resolve({.path = loaded.back().module, .build_id = ""}, loaded.back().module_offset);
  ASSERT_EQ(frames.size(), loaded.size());
  for (size_t i = 0; i < frames.size(); ++i) {
    EXPECT_EQ(frames[i].function, loaded[i].function);
    EXPECT_EQ(frames[i].line, loaded[i].line);
    EXPECT_EQ(frames[i].offset, loaded[i].offset);
    EXPECT_EQ(frames[i].inlined, loaded[i].inlined);
  }
  EXPECT_EQ(frames.back().module_offset, loaded.back().module_offset);
}

TEST(FileSymbolizer, AFileThatIsGoneOrAnotherGivesModuleAndOffset) {
  FileSymbolizer files;
  for (const FileSymbolizer::File& file :
       {FileSymbolizer::File{.path = SAMPLE_PATH, .build_id = "00ff"},
        FileSymbolizer::File{.path = "/nowhere/libgone.so", .build_id = "00ff"},
        FileSymbolizer::File{.path = "/dev/null", .build_id = ""}}) {
    const auto frames = files.resolve(file, 0x1234);
    ASSERT_EQ(frames.size(), 1U) << file.path;
    EXPECT_EQ(frames[0].function, "");
    EXPECT_EQ(frames[0].module, file.path);
    EXPECT_EQ(frames[0].module_offset, 0x1234U);
  }
}

TEST(DwarfSymbolizer, InlinedFunctionsComeFirstEachWithItsLine) {
  DwarfSymbolizer symbolizer;
  const Here here = outer();
  const auto frames = symbolizer.resolve(here.address);
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_EQ(frames[0].function, "netfs::lockdep::(anonymous namespace)::Inner::here");
  EXPECT_EQ(frames[0].line, here.line);
  EXPECT_TRUE(frames[0].inlined);
  EXPECT_EQ(frames[1].function, "netfs::lockdep::(anonymous namespace)::middle");
  EXPECT_EQ(frames[1].line, kCallLine);
  EXPECT_EQ(frames[2].function, "netfs::lockdep::(anonymous namespace)::outer");
  EXPECT_EQ(frames[2].line, kOuterCallLine);
  EXPECT_FALSE(frames[2].inlined);
  EXPECT_TRUE(ends_with(frames[2].file, "dwarf_symbolizer_test.cc")) << frames[2].file;
}

// Goal: a module that came after the symbolizer was opened is found at its first miss.
TEST(DwarfSymbolizer, ASharedObjectLoadedLaterIsFound) {
  DwarfSymbolizer symbolizer;
  ASSERT_FALSE(symbolizer.resolve(here_in_plain_function().address)[0].function.empty());
  const Sample sample(SAMPLE_PATH);
  const auto frames = symbolizer.resolve(sample.call("sample_exported"));
  ASSERT_EQ(frames.size(), 1U) << "dlopen " SAMPLE_PATH;
  EXPECT_EQ(frames[0].function, "sample_exported") << frames[0].module;
  EXPECT_EQ(frames[0].line, 16);
  EXPECT_FALSE(frames[0].in_program);
  EXPECT_TRUE(ends_with(frames[0].file, "src/lockdep/symbolizer_sample.cc")) << frames[0].file;
  EXPECT_EQ(frame_text(frames[0]).find("sample_exported+0x"), 0U);
  EXPECT_NE(frame_text(frames[0]).find(" [lockdep_sample.so]  "), std::string::npos);
}

TEST(DwarfSymbolizer, AStrippedObjectHasItsDynamicNamesElseModuleAndOffset) {
  DwarfSymbolizer symbolizer;
  const Sample sample(STRIPPED_SAMPLE_PATH);
  const auto exported = symbolizer.resolve(sample.call("sample_exported"));
  ASSERT_EQ(exported.size(), 1U) << "dlopen " STRIPPED_SAMPLE_PATH;
  EXPECT_EQ(exported[0].function, "sample_exported");
  EXPECT_EQ(exported[0].line, 0);

  const auto hidden = symbolizer.resolve(sample.call("sample_address_in_hidden"));
  ASSERT_EQ(hidden.size(), 1U);
  EXPECT_EQ(hidden[0].function, "");
  EXPECT_EQ(frame_text(hidden[0]).find("lockdep_sample_stripped.so+0x"), 0U);
  // As nm and addr2line count: both addresses lie in one module of one bias.
  EXPECT_EQ(hidden[0].address - hidden[0].module_offset,
            exported[0].address - exported[0].module_offset);
}

TEST(DwarfSymbolizer, AnAddressInNoModuleIsItself) {
  DwarfSymbolizer symbolizer;
  for (const uintptr_t address : {uintptr_t{0}, uintptr_t{1}, ~uintptr_t{0}}) {
    const auto frames = symbolizer.resolve(address);
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].address, address);
    EXPECT_TRUE(frames[0].function.empty());
  }
  EXPECT_EQ(frame_text(symbolizer.resolve(0x1234)[0]), "0x0000000000001234");
}

__attribute__((noinline)) std::vector<uintptr_t> captured_here() {
  std::array<uintptr_t, 32> frames;
  const size_t count = capture_stack(frames);
  return {frames.begin(), frames.begin() + count};
}

// The two together, as reports use them: from a real stack to the names of who called.
TEST(DwarfSymbolizer, ACapturedStackNamesItsCallers) {
  DwarfSymbolizer symbolizer;
  const int line = __LINE__ + 1;
  const std::vector<uintptr_t> stack = captured_here();
  ASSERT_GE(stack.size(), 3U);
  const auto innermost = symbolizer.resolve(stack[0]);
  EXPECT_EQ(innermost.back().function, "netfs::lockdep::(anonymous namespace)::captured_here");
  const Frame caller = symbolizer.resolve(stack[1]).back();
  EXPECT_NE(caller.function.find("ACapturedStackNamesItsCallers_Test::TestBody"),
            std::string::npos);
  EXPECT_EQ(caller.line, line);
}

TEST(DwarfSymbolizer, LibcIsASharedObject) {
  DwarfSymbolizer symbolizer;
  const auto frames = symbolizer.resolve(reinterpret_cast<uintptr_t>(&gnu_get_libc_version) + 1);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().function, "gnu_get_libc_version");
  EXPECT_EQ(frames.back().offset, 1U);
  EXPECT_FALSE(frames.back().in_program);
}

}  // namespace
}  // namespace netfs::lockdep
