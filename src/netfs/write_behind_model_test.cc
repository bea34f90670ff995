// Goal: whatever is done to a file whose writes are kept, it is what a plain one would be; and the
// parts of which that is made, each for itself.

#include <cerrno>
#include <gtest/gtest.h>
#include <optional>
#include <random>
#include <string>

#include "netfs/testing/writing.h"
#include "netfs/upload_window.h"
#include "netfs/write_overlay.h"

namespace netfs {
namespace {

// Random writes, reads, truncations and syncs, with failures that pass, against a string.
TEST(WriteBehind, WhateverIsDoneAFileIsWhatAPlainOneWouldBe) {
  for (const uint64_t seed : {1, 2, 3, 4}) {
    LibraryFixture::Options options = write_behind(256 << 10);
    options.origin.threads = 4;
    LibraryFixture fixture(options);
    fixture.origin.add_file("f", "");
    fixture.origin.set_write_fault([](const SimulatedRead& write) -> std::optional<Fault> {
      if (write.number % 97 == 3) return Fault{.error = EIO};
      if (write.number % 7 == 2) return Fault{.kind = Fault::kShort, .bytes = 50};
      return std::nullopt;
    });
    const Ref<WritableFile> file = open_for_writing(fixture, "f");
    std::mt19937_64 random(seed);
    std::string want;
    for (int i = 0; i < 1500; ++i) {
      const uint64_t at = random() % 40'000;
      const uint64_t length = 1 + random() % 3000;
      const uint64_t what = random() % 20;
      if (what < 12) {
        const std::string bytes = pattern(seed + static_cast<uint64_t>(i), {at, length});
        if (want.size() < at + length) want.resize(at + length);
        want.replace(at, length, bytes);
        ASSERT_EQ(MUST(write(fixture, *file, at, bytes)), length);
      } else if (what < 18) {
        const std::string expected = at < want.size() ? want.substr(at, length) : "";
        ASSERT_TRUE(MUST(LibraryFixture::read(*file, {at, length})) == expected)
            << "seed " << seed << ", step " << i;
      } else if (what < 19) {
        want.resize(at);
        ASSERT_TRUE(file->set_attributes({.size_bytes = at}, Deadline::never()).ok());
      } else {
        ASSERT_TRUE(settle(*file));
        ASSERT_TRUE(fixture.origin.content("f") == want) << "seed " << seed << ", step " << i;
      }
    }
    ASSERT_TRUE(settle(*file));
    EXPECT_TRUE(fixture.origin.content("f") == want);
    EXPECT_EQ(file->write_errors().serial, 0U);
  }
}

TEST(UploadWindow, GrowsWithWhatArrivesAndHalvesWithWhatTakesLong) {
  UploadWindow window;
  const Duration timeout = std::chrono::seconds(30);
  EXPECT_TRUE(window.enter(UploadWindow::kMin));
  EXPECT_FALSE(window.enter(1));
  window.leave(UploadWindow::kMin, true, std::chrono::milliseconds(20), timeout);
  EXPECT_EQ(window.limit_bytes(), 2 * UploadWindow::kMin);
  for (int i = 0; i < 100; ++i) {
    window.enter_anyway(UploadWindow::kMin);
    window.leave(UploadWindow::kMin, true, std::chrono::milliseconds(20), timeout);
  }
  EXPECT_EQ(window.limit_bytes(), UploadWindow::kMax);
  window.enter_anyway(1);
  window.leave(1, false, std::chrono::seconds(10), timeout);
  EXPECT_EQ(window.limit_bytes(), UploadWindow::kMax / 2);
  EXPECT_EQ(window.in_flight_bytes(), 0U);
}

TEST(WriteOverlay, KnowsWhatItCovers) {
  LibraryFixture fixture;
  const auto slice = [&](size_t length) {
    return BufferSlice{fixture.pool.allocate_for_reader(length), 0, length};
  };
  WriteOverlay overlay(30);
  EXPECT_FALSE(overlay.covers({0, 1}));
  overlay.add({10, 10}, slice(10));
  overlay.add({25, 5}, slice(5));
  overlay.add({18, 8}, slice(8));
  EXPECT_TRUE(overlay.covers({10, 20}));
  EXPECT_TRUE(overlay.covers({19, 2}));
  EXPECT_FALSE(overlay.covers({9, 2}));
  EXPECT_FALSE(overlay.covers({29, 2}));
}

}  // namespace
}  // namespace netfs
