#include "daemon/quantity.h"

#include <gtest/gtest.h>

namespace netfs::daemon {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""us;

TEST(Quantity, SizesTakeBinarySuffixes) {
  EXPECT_EQ(parse_size("0").value(), 0u);
  EXPECT_EQ(parse_size("512").value(), 512u);
  EXPECT_EQ(parse_size("3K").value(), 3072u);
  EXPECT_EQ(parse_size("20G").value(), uint64_t{20} << 30);
  EXPECT_EQ(parse_size("2TiB").value(), uint64_t{2} << 40);
}

TEST(Quantity, NonsenseIsNoSize) {
  for (const char* text :
       {"", "K", "-1", "1.5G", "5 G", "5GB", "5g", "20000000T", "%", "99999999999999999999"}) {
    EXPECT_TRUE(parse_size(text).is_error(EINVAL)) << text;
  }
}

TEST(Quantity, DiskAmountIsBytesOrPercent) {
  EXPECT_EQ(parse_disk_amount("20%").value(), (DiskAmount{.percent = 20}));
  EXPECT_EQ(parse_disk_amount("1M").value(), (DiskAmount{.bytes = 1 << 20}));
  for (const char* text : {"0", "0%", "101%", "%", "5%%", "x%"}) {
    EXPECT_TRUE(parse_disk_amount(text).is_error(EINVAL)) << text;
  }
}

TEST(Quantity, DurationsAddUpTheirParts) {
  EXPECT_EQ(parse_duration("500ms").value(), 500ms);
  EXPECT_EQ(parse_duration("5s").value(), 5s);
  EXPECT_EQ(parse_duration("7").value(), 7s);
  EXPECT_EQ(parse_duration("1m30s").value(), 90s);
  EXPECT_EQ(parse_duration("7d").value(), 168h);
  EXPECT_EQ(parse_duration("0").value(), 0s);
  EXPECT_EQ(parse_duration("forever").value(), kForever);
}

TEST(Quantity, NonsenseIsNoDuration) {
  for (const char* text :
       {"", "s", "-5s", "5x", "5s5", "1.5s", "300000d", "9999999999999999999s"}) {
    EXPECT_TRUE(parse_duration(text).is_error(EINVAL)) << text;
  }
}

TEST(Quantity, NumbersKeepTheirBounds) {
  EXPECT_EQ(parse_number("0022", 8, 0777).value(), 022u);
  EXPECT_TRUE(parse_number("1777", 8, 0777).is_error(EINVAL));
  EXPECT_TRUE(parse_number("8", 8, 0777).is_error(EINVAL));
  EXPECT_TRUE(parse_number("", 10, 7).is_error(EINVAL));
}

TEST(Quantity, PeopleReadUnits) {
  EXPECT_EQ(format_bytes(312), "312 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_duration(340us), "340 us");
  EXPECT_EQ(format_duration(kForever), "forever");
}

}  // namespace netfs::daemon
