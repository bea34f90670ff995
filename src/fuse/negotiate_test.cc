#include "fuse/negotiate.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace netfs::fuse {
namespace {

InitRequest kernel(uint32_t minor, uint64_t flags) {
  return {.major = 7, .minor = minor, .max_readahead_bytes = 128 << 10, .flags = flags};
}

const uint64_t kEverything = ~uint64_t{0};

const Feature& feature(const std::vector<Feature>& all, const std::string& name) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Feature& f) { return f.name == name; });
  EXPECT_NE(found, all.end()) << name;
  static const Feature kNone;
  return found == all.end() ? kNone : *found;
}

TEST(Negotiate, TakesAllItWantsFromANewKernel) {
  const Negotiated out = MUST(negotiate(kernel(45, kEverything), {}));
  for (const uint64_t flag :
       {proto::kAsyncRead, proto::kParallelDirops, proto::kDoReaddirplus, proto::kExplicitInvalData,
        proto::kMaxPages, proto::kBigWrites, proto::kCacheSymlinks, proto::kAbortError,
        proto::kHasExpireOnly, proto::kHasResend, proto::kNoOpenSupport, proto::kNoOpendirSupport,
        proto::kPassthrough, proto::kInitExt}) {
    EXPECT_TRUE(out.has(flag)) << std::hex << flag;
  }
  EXPECT_TRUE(out.passthrough);
  EXPECT_EQ(out.max_stack_depth, 1U);
  EXPECT_EQ(out.max_pages, 256U);
  EXPECT_EQ(out.max_read_bytes(), 1U << 20);
  EXPECT_EQ(out.max_write_bytes, 1U << 20);
  EXPECT_EQ(out.max_readahead_bytes, 128U << 10);
}

TEST(Negotiate, NeverTakesWhatHarmsUs) {
  const Negotiated out = MUST(negotiate(kernel(45, kEverything), {}));
  for (const uint64_t flag :
       {proto::kWritebackCache, proto::kReaddirplusAuto, proto::kAutoInvalData,
        proto::kHandleKillpriv, proto::kHandleKillprivV2, proto::kPosixLocks, proto::kFlockLocks,
        proto::kOverIoUring, proto::kPosixAcl, proto::kSpliceRead}) {
    EXPECT_FALSE(out.has(flag)) << std::hex << flag;
  }
}

TEST(Negotiate, SetIdBitsAreClearedHereOnWritableMountsOnly) {
  SessionOptions options;
  options.writable = true;
  const Negotiated out = MUST(negotiate(kernel(45, kEverything), options));
  EXPECT_TRUE(out.has(proto::kHandleKillprivV2));
  EXPECT_FALSE(out.has(proto::kWritebackCache)) << "a write would return before we have seen it";
  EXPECT_TRUE(feature(describe(out, options), "set-ID bits cleared here").on);
  const Negotiated old =
      MUST(negotiate(kernel(45, kEverything & ~proto::kHandleKillprivV2), options));
  EXPECT_FALSE(feature(describe(old, options), "set-ID bits cleared here").on);
}

TEST(Negotiate, LocksAreAskedForWhereTheOriginHasThem) {
  SessionOptions options;
  options.locks = true;
  constexpr uint64_t kLocks = proto::kPosixLocks | proto::kFlockLocks;
  const Negotiated out = MUST(negotiate(kernel(45, kEverything), options));
  EXPECT_TRUE(out.has(kLocks));
  EXPECT_TRUE(feature(describe(out, options), "locks at the origin").on);
  // One sort without the other: a program that uses both would find them in different places.
  const Negotiated half = MUST(negotiate(kernel(45, kEverything & ~proto::kFlockLocks), options));
  EXPECT_FALSE(half.has(proto::kPosixLocks));
  EXPECT_NE(feature(describe(half, options), "locks at the origin").why_not, "");
  options.over_ring = true;
  const Negotiated ring = MUST(negotiate(kernel(45, kEverything), options));
  EXPECT_FALSE(ring.has(proto::kPosixLocks) || ring.has(proto::kFlockLocks));
  EXPECT_NE(feature(describe(ring, options), "locks at the origin").why_not.find("ring"),
            std::string::npos);
  options = {.locks_off_reason = "none"};
  const Negotiated none = MUST(negotiate(kernel(45, kEverything), options));
  EXPECT_EQ(feature(describe(none, options), "locks at the origin").why_not, "none");
}

TEST(Negotiate, TakesNothingThatIsNotOffered) {
  const Negotiated out = MUST(negotiate(kernel(45, 0), {}));
  EXPECT_EQ(out.flags, 0U);
  EXPECT_FALSE(out.passthrough);
  EXPECT_EQ(out.max_stack_depth, 0U);
  EXPECT_EQ(out.max_pages, 32U);
  EXPECT_EQ(out.max_write_bytes, 128U << 10);
}

TEST(Negotiate, WithoutInitExtTheUpperFlagsStayOff) {
  const Negotiated out = MUST(negotiate(kernel(35, kEverything & ~proto::kInitExt), {}));
  EXPECT_EQ(out.flags >> 32, 0U);
  EXPECT_FALSE(out.passthrough);
  EXPECT_EQ(init_out(out).flags2, 0U);
}

TEST(Negotiate, AKernelThatIsTooOldIsEprotoWithASentence) {
  const Result<Negotiated> out = negotiate(kernel(11, 0), {});
  ASSERT_TRUE(out.is_error(EPROTO));
  EXPECT_NE(out.error().message().find("7.11"), std::string::npos);
  EXPECT_TRUE(negotiate({.major = 6, .minor = 45}, {}).is_error(EPROTO));
}

TEST(Negotiate, InitOutSpeaksTheKernelsMinorAndCutsToItsLength) {
  const Negotiated old = MUST(negotiate(kernel(21, proto::kAsyncRead), {}));
  EXPECT_EQ(init_out(old).minor, 21U);
  EXPECT_EQ(init_out_bytes(21), 24U);
  EXPECT_EQ(init_out_bytes(23), 64U);
  const Negotiated future = MUST(negotiate(kernel(99, kEverything), {}));
  const proto::InitOut out = init_out(future);
  EXPECT_EQ(out.minor, proto::kMinor);
  EXPECT_EQ(out.max_pages, 256U);
  EXPECT_EQ(out.time_gran, 1U);
  EXPECT_EQ(out.max_background, 64U);
  EXPECT_EQ(out.congestion_threshold, 48U);
  EXPECT_EQ(uint64_t{out.flags2} << 32 | out.flags, future.flags);
}

TEST(Negotiate, DescribeSaysWhyPassthroughIsOff) {
  const SessionOptions wanted;
  const auto why = [](const Negotiated& negotiated, const SessionOptions& options) {
    return feature(describe(negotiated, options), "passthrough").why_not;
  };
  EXPECT_EQ(why(MUST(negotiate(kernel(45, kEverything), wanted)), wanted), "");
  EXPECT_NE(why(MUST(negotiate(kernel(38, proto::kAsyncRead), wanted)), wanted).find("kernel"),
            std::string::npos);
  SessionOptions unprivileged;
  unprivileged.passthrough = false;
  unprivileged.passthrough_off_reason = "no CAP_SYS_ADMIN";
  EXPECT_EQ(why(MUST(negotiate(kernel(45, kEverything), unprivileged)), unprivileged),
            "no CAP_SYS_ADMIN");
  SessionOptions deep;
  deep.max_stack_depth = 0;
  EXPECT_NE(why(MUST(negotiate(kernel(45, kEverything), deep)), deep).find("stack"),
            std::string::npos);
}

TEST(Negotiate, ARingIsTakenWhereItIsWantedAndOfferedAndItsRequestsAreSmaller) {
  const SessionOptions wanted{.over_ring = true};
  EXPECT_FALSE(MUST(negotiate(kernel(45, kEverything), {})).has(proto::kOverIoUring));
  EXPECT_FALSE(MUST(negotiate(kernel(45, kEverything & ~proto::kOverIoUring), wanted))
                   .has(proto::kOverIoUring));
  const Negotiated out = MUST(negotiate(kernel(45, kEverything), wanted));
  EXPECT_TRUE(out.has(proto::kOverIoUring));
  EXPECT_EQ(out.max_read_bytes(), kRingRequestBytes);
  EXPECT_EQ(out.max_write_bytes, kRingRequestBytes);
}

TEST(Negotiate, DescribeSaysWhyThereIsNoRing) {
  const auto why = [](uint64_t offered, const SessionOptions& options) {
    const Negotiated negotiated = MUST(negotiate(kernel(45, offered), options));
    return feature(describe(negotiated, options), kRingFeature).why_not;
  };
  EXPECT_EQ(why(kEverything, {.over_ring = true}), "");
  EXPECT_NE(why(kEverything & ~proto::kOverIoUring, {.over_ring = true}).find("enable_uring"),
            std::string::npos);
  EXPECT_EQ(why(kEverything, {.ring_off_reason = "no io_uring here"}), "no io_uring here");
}

TEST(Negotiate, DescribeListsTheSameFeaturesWhateverTheKernel) {
  SessionOptions wanted;
  wanted.locks = true;
  const std::vector<Feature> all =
      describe(MUST(negotiate(kernel(45, kEverything), wanted)), wanted);
  const std::vector<Feature> none = describe(MUST(negotiate(kernel(12, 0), wanted)), wanted);
  ASSERT_EQ(all.size(), none.size());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].name, none[i].name);
    EXPECT_TRUE(all[i].on) << all[i].name;
    EXPECT_TRUE(all[i].why_not.empty()) << all[i].name;
    EXPECT_FALSE(none[i].on) << none[i].name;
    EXPECT_FALSE(none[i].why_not.empty()) << none[i].name;
  }
}

}  // namespace
}  // namespace netfs::fuse
