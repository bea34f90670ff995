#include "lockdep_preload/options.h"

#include <gtest/gtest.h>

namespace netfs::lockdep_preload {
namespace {

TEST(LockdepOptions, WhatIsEncodedIsDecodedWhateverBytesItHas) {
  Options options{.output = "/tmp/a,b=c%d\n",
                  .format = Format::kJson,
                  .suppressions = "/s",
                  .save = "/graph",
                  .stat = "/stat",
                  .order_only = true,
                  .histograms = true,
                  .abort = true,
                  .exit_code = 3,
                  .watchdog_seconds = 0,
                  .children = Children::kLeft};
  Result<Options> back = decode(encode(options));
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(encode(back.value()), encode(options));
  EXPECT_EQ(back.value().output, options.output);
  EXPECT_EQ(back.value().exit_code, 3);
  EXPECT_EQ(back.value().watchdog_seconds, 0);
}

TEST(LockdepOptions, NothingMeansTheDefaults) {
  Result<Options> options = decode("");
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(encode(options.value()), "");
  EXPECT_FALSE(options.value().exit_code.has_value());
}

TEST(LockdepOptions, AWrongWordIsNamed) {
  for (const char* wrong : {"nonsense=1", "exit-code=256", "format=xml", "output", "save=%4",
                            "watchdog=-1", "abort=yes"}) {
    Result<Options> options = decode(std::string("order-only=1,") + wrong);
    ASSERT_FALSE(options.ok()) << wrong;
    EXPECT_NE(options.error().message().find(wrong), std::string::npos)
        << options.error().message();
  }
}

TEST(LockdepOptions, OurLibraryComesFirstAndOnceAndOthersStay) {
  EXPECT_EQ(with_library("", "/l.so"), "/l.so");
  EXPECT_EQ(with_library("/a.so /b.so", "/l.so"), "/l.so:/a.so:/b.so");
  EXPECT_EQ(with_library("/a.so:/l.so", "/l.so"), "/l.so:/a.so");
  EXPECT_EQ(without_library("/l.so:/a.so", "/l.so"), "/a.so");
}

}  // namespace
}  // namespace netfs::lockdep_preload
