#include "netfs/simulated_link.h"

#include <gtest/gtest.h>

#include "netfs/testing/reading.h"

namespace netfs {
namespace {

using std::chrono::milliseconds;

TEST(SimulatedLink, ShapeIsReadFromText) {
  struct Row {
    const char* text;
    Duration round_trip;
    uint64_t bits_per_second;
  };
  const Row rows[] = {{"rtt=20ms,bandwidth=1Gbit", milliseconds(20), 1'000'000'000},
                      {"bandwidth=2.5Mbit", {}, 2'500'000},
                      {"rtt=1s", std::chrono::seconds(1), 0},
                      {"bandwidth=300Kbit,rtt=5us", std::chrono::microseconds(5), 300'000}};
  for (const Row& row : rows) {
    const Result<LinkShape> shape = parse_link_shape(row.text);
    ASSERT_TRUE(shape.ok()) << row.text;
    EXPECT_EQ(shape.value().round_trip, row.round_trip) << row.text;
    EXPECT_EQ(shape.value().bits_per_second, row.bits_per_second) << row.text;
  }
}

TEST(SimulatedLink, WrongTextNamesTheWrongWord) {
  for (const char* text : {"", "rtt", "rtt=", "rtt=20", "rtt=-1ms", "rtt=20ms,", "speed=1Gbit",
                           "rtt=20ms;bandwidth=1Gbit", "bandwidth=1GB", "rtt=nans", "rtt=1e99s"}) {
    const Result<LinkShape> shape = parse_link_shape(text);
    EXPECT_TRUE(shape.is_error(EINVAL)) << text;
  }
  EXPECT_NE(parse_link_shape("rtt=20ms,speed=9").error().message().find("'speed=9'"),
            std::string::npos);
}

TEST(SimulatedLink, CallsTakeARoundTripAndBytesTakeTheBandwidth) {
  BufferPool pool(size_t{32} << 20, 0);  // a thread of the origin's may let go of a buffer last
  SimulatedOrigin origin({});
  origin.add_pattern("a", 1'000'000, 1);
  SimulatedLink link(origin, {.round_trip = milliseconds(30), .bits_per_second = 80'000'000});
  MonoTime began = Clock::system().now();
  const Result<NodeInfo> info = link.stat("a", Deadline::never());
  ASSERT_TRUE(info.ok());
  EXPECT_GE(Clock::system().now() - began, milliseconds(30));

  auto library = MUST(Library::create({.origin = link, .pool = pool}));  // its options are right
  {
    const Ref<File> file = MUST(library->open(
        {.path = "a", .validator = info.value().validator, .size_bytes = 1'000'000}));  // as above
    began = Clock::system().now();
    const Result<std::string> bytes = LibraryFixture::read(*file, {0, 1'000'000});
    ASSERT_TRUE(bytes.ok());
    EXPECT_TRUE(bytes.value() == pattern(1, {0, 1'000'000}));
    // Open and read, a round trip each, and 8 Mbit at 80 Mbit/s.
    EXPECT_GE(Clock::system().now() - began, milliseconds(160));
  }
  library->close();
}

TEST(SimulatedLink, MetadataKeepsItsDeadline) {
  SimulatedOrigin origin({});
  SimulatedLink link(origin, {.round_trip = std::chrono::seconds(60)});
  const Deadline deadline = Deadline::after(Clock::system(), milliseconds(20));
  EXPECT_TRUE(link.stat("", deadline).is_error(ETIMEDOUT));
}

}  // namespace
}  // namespace netfs
