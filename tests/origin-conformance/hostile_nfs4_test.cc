// Goal: a server of version 4 that lies, breaks off, has no time or forgets costs no wrong answer
// and no hang.

#include <array>
#include <atomic>
#include <cerrno>
#include <gtest/gtest.h>
#include <string>
#include <utility>

#include "tests/origin-conformance/fake_nfs4.h"
#include "tests/origin-conformance/hostile_nfs.h"
#include "tests/origin-conformance/reads.h"

namespace netfs::test {
namespace {

using Said4 = std::optional<Xdr>;

class HostileNfs4 : public HostileNfs {
 protected:
  // Before what the scripts look at.
  void TearDown() override {
    origin_.reset();
    server_.reset();
  }
  void serve_4(Nfs4Script script) {
    serve([script = std::move(script)](const NfsCall& call) { return answer_4(call, script); });
  }
  Result<std::unique_ptr<Origin>> try_open_4() {
    return origins::open_origin({.url = MUST(origins::Url::parse(server_->url("&version=4"))),
                                 .timeout = std::chrono::seconds(5)});
  }
  void open_4() {
    Result<std::unique_ptr<Origin>> origin = try_open_4();
    ASSERT_TRUE(origin.ok()) << origin.error().message();
    origin_ = std::move(origin).value();
  }
  // A listing of one page that goes on, or not, behind these entries.
  static Xdr page(const std::string& entries, bool end = true) {
    return Xdr().u32(0).u64(7).raw(entries).u32(0).u32(end ? 1 : 0);
  }
  static std::string entry(uint64_t cookie, const std::string& name, uint64_t size = 1) {
    return Xdr().u32(1).raw(entry_4(cookie, name, file_attributes_4(cookie, size))).bytes();
  }

  // Of the scripts.
  std::atomic<unsigned> count_ = 0;
  std::atomic<unsigned> round_ = 0;
};

TEST_F(HostileNfs4, AnHonestOneIsReadToItsEnd) {
  serve_4([](const Nfs4Operation&) -> Said4 { return std::nullopt; });
  ASSERT_NO_FATAL_FAILURE(open_4());
  EXPECT_EQ(MUST(read_file(*origin_, "file")), std::string(100, 'x'));
  EXPECT_EQ(MUST(list()).at("file").attributes.size_bytes, 100U);
}

TEST_F(HostileNfs4, WhatItHasNoTimeForIsAskedForAgain) {
  serve_4([this](const Nfs4Operation& asked) -> Said4 {
    if (asked.operation != kNfs4Lookup || asked.name != "file") return std::nullopt;
    const uint32_t later[] = {kNfs4Delay, kNfs4Grace, kNfs4Resource};
    const unsigned time = count_++;
    return time < std::size(later) ? Said4(Xdr().u32(later[time])) : std::nullopt;
  });
  ASSERT_NO_FATAL_FAILURE(open_4());
  EXPECT_EQ(MUST(origin_->stat("file", soon())).attributes.size_bytes, 100U);
  EXPECT_EQ(count_, 4U);
}

TEST_F(HostileNfs4, WhatItNeverHasTimeForEndsAtTheDeadline) {
  serve_4([](const Nfs4Operation& asked) -> Said4 {
    return asked.name == "file" ? Said4(Xdr().u32(kNfs4Delay)) : std::nullopt;
  });
  ASSERT_NO_FATAL_FAILURE(open_4());
  EXPECT_TRUE(origin_->stat("file", in(std::chrono::milliseconds(300))).is_error(ETIMEDOUT));
}

TEST_F(HostileNfs4, NamesComeAsTheyWereSentAlsoWithBytesThatNoNameHas) {
  serve_4([](const Nfs4Operation& asked) -> Said4 {
    if (asked.operation != kNfs4Readdir) return std::nullopt;
    return page(entry(3, ".") + entry(4, "..") + entry(5, "a/b") +
                entry(6, std::string("a\0b", 3)) + entry(7, "twice") + entry(8, "twice"));
  });
  ASSERT_NO_FATAL_FAILURE(open_4());
  const auto names = list();
  ASSERT_TRUE(names.ok()) << names.error().message();
  EXPECT_EQ(names.value().size(), 3U);
  EXPECT_TRUE(names.value().contains("a/b")) << "the library refuses it";
  EXPECT_TRUE(names.value().contains(std::string("a\0b", 3))) << "it is no other file's name";
}

TEST_F(HostileNfs4, AListingThatNeverEndsIsAnError) {
  serve_4([](const Nfs4Operation& asked) -> Said4 {
    if (asked.operation != kNfs4Readdir) return std::nullopt;
    return page(asked.cookie == 0 ? entry(7, "x") : "", false);
  });
  ASSERT_NO_FATAL_FAILURE(open_4());
  const unsigned before = server_->calls(kNfs4Compound);
  EXPECT_TRUE(list().is_error(EIO));
  EXPECT_LE(server_->calls(kNfs4Compound) - before, 2U);
}

TEST_F(HostileNfs4, AListingWhosePlaceIsForgottenBeginsAgainAndNotForEver) {
  serve_4([this](const Nfs4Operation& asked) -> Said4 {
    if (asked.operation != kNfs4Readdir) return std::nullopt;
    if (asked.cookie == 0) return page(entry(7, "x"), false);
    if (round_ == 1) return Xdr().u32(kNfs4BadCookie);
    return count_++ == 0 ? Xdr().u32(kNfs4NotSame) : page(entry(8, "y"));
  });
  ASSERT_NO_FATAL_FAILURE(open_4());
  EXPECT_EQ(MUST(list()).size(), 2U);
  EXPECT_EQ(count_, 2U);
  round_ = 1;
  EXPECT_TRUE(list().is_error(EIO));
}

TEST_F(HostileNfs4, OneFileOfNonsenseDoesNotHideTheOthers) {
  serve_4([](const Nfs4Operation& asked) -> Said4 {
    if (asked.operation == kNfs4Getattr && asked.handle == "file") {
      return Xdr().u32(0).raw(file_attributes_4(2, UINT64_MAX));
    }
    if (asked.operation != kNfs4Readdir) return std::nullopt;
    const std::string refused = Xdr().u32(1).u32(1U << 11).opaque(Xdr().u32(13).bytes()).bytes();
    const std::string cut = Xdr().u32(1).u32(1U << 4).opaque("12").bytes();
    return page(entry(3, "huge", UINT64_MAX) + Xdr().u32(1).raw(entry_4(4, "no", refused)).bytes() +
                Xdr().u32(1).raw(entry_4(5, "cut", cut)).bytes() + entry(6, "good"));
  });
  ASSERT_NO_FATAL_FAILURE(open_4());
  const auto names = MUST(list());
  ASSERT_EQ(names.size(), 4U);
  for (const char* bad : {"huge", "no", "cut"}) {
    EXPECT_EQ(names.at(bad).attributes.type, FileType::kUnknown) << bad;
  }
  EXPECT_EQ(names.at("good").attributes.type, FileType::kRegular);
  EXPECT_TRUE(origin_->stat("file", soon()).is_error(EIO));
}

TEST_F(HostileNfs4, AnswersThatAreCutShortOrOfSomethingElseAreErrors) {
  const NfsAnswer lies[] = {
      compound_of(0, 0, Xdr()),
      compound_of(0, 1, Xdr().u32(kNfs4Putfh).u32(0)),
      compound_of(0, 2, Xdr().u32(kNfs4Putfh).u32(0).u32(kNfs4Getattr).u32(0).u32(0).u32(0)),
      compound_of(0, 4, Xdr().u32(kNfs4Putfh).u32(0)),  // of which there are fewer
      NfsAnswer::say(Xdr().u32(0)),
      compound_of(10006, 0, Xdr()),  // SERVERFAULT, before any operation
  };
  serve([this, lies = std::to_array(lies)](const NfsCall& call) -> Said {
    const unsigned lie = round_;
    if (lie > 0 && call.is(kNfs4Compound)) return lies[lie - 1];
    return answer_4(call, [](const Nfs4Operation&) -> Said4 { return std::nullopt; });
  });
  ASSERT_NO_FATAL_FAILURE(open_4());
  for (round_ = 1; round_ <= std::size(lies); ++round_) {
    EXPECT_TRUE(origin_->stat("file", soon()).is_error(EIO)) << round_;
  }
  round_ = 0;
  EXPECT_TRUE(origin_->stat("file", soon()).ok());
}

TEST_F(HostileNfs4, AReadIsWhatWasAskedForOrAnError) {
  serve_4([this](const Nfs4Operation& asked) -> Said4 {
    const bool is_read = asked.operation == kNfs4Read;
    if (round_ == 1 && is_read) return Xdr().u32(0).u32(1).opaque(std::string(200, 'x'));
    if (round_ == 2 && is_read) return Xdr().u32(0).u32(0).opaque("");
    if (round_ == 3 && asked.operation == kNfs4Getattr) return Xdr().u32(kNfs4Delay);
    return std::nullopt;
  });
  ASSERT_NO_FATAL_FAILURE(open_4());
  const std::unique_ptr<OriginFile> file = MUST(origin_->open("file", soon()));
  round_ = 1;
  EXPECT_TRUE(read_range(*origin_, *file, {0, 100}).is_error(EIO)) << "more than was asked for";
  round_ = 2;
  const ReadBytes nothing = MUST(read_range(*origin_, *file, {0, 100}));
  EXPECT_TRUE(nothing.bytes.empty() && nothing.hit_end_of_file);
  round_ = 3;
  const ReadBytes unknown = MUST(read_range(*origin_, *file, {0, 100}));
  EXPECT_EQ(unknown.bytes.size(), 100U);
  EXPECT_FALSE(unknown.validator.has_value()) << "of which version is not known";
}

TEST_F(HostileNfs4, ADirectoryWhoseHandleExpiredIsLookedUpOnceMore) {
  serve_4([this](const Nfs4Operation& asked) -> Said4 {
    if (asked.name == "d") return Xdr().u32(0);
    if (asked.name == "file" && count_++ == 0) return Xdr().u32(kNfs4HandleExpired);
    return std::nullopt;
  });
  ASSERT_NO_FATAL_FAILURE(open_4());
  EXPECT_TRUE(origin_->stat("d/file", soon()).ok());
  EXPECT_EQ(count_, 2U);
}

TEST_F(HostileNfs4, ALinkIsNotCutAtAByteThatNoPathHas) {
  serve_4([](const Nfs4Operation& asked) -> Said4 {
    if (asked.operation == kNfs4Readlink) return Xdr().u32(0).opaque(std::string("/a\0b", 4));
    if (asked.operation != kNfs4Getattr || asked.handle != "file") return std::nullopt;
    std::string link = file_attributes_4(2, 4);
    link[4 + 8 + 4 + 3] = 5;  // the type
    return Xdr().u32(0).raw(link);
  });
  ASSERT_NO_FATAL_FAILURE(open_4());
  EXPECT_EQ(MUST(origin_->stat("file", soon())).attributes.type, FileType::kSymlink);
  EXPECT_TRUE(origin_->read_link("file", soon()).is_error(EIO));
}

TEST_F(HostileNfs4, AServerThatHangsUpInTheMiddleIsAskedAgain) {
  serve([this](const NfsCall& call) -> Said {
    if (round_ == 1 && call.is(kNfs4Compound) && count_++ == 0) return NfsAnswer::hang_up();
    return answer_4(call, [](const Nfs4Operation&) -> Said4 { return std::nullopt; });
  });
  ASSERT_NO_FATAL_FAILURE(open_4());
  round_ = 1;
  EXPECT_TRUE(origin_->stat("file", soon()).ok());
  EXPECT_EQ(count_, 2U);
}

}  // namespace
}  // namespace netfs::test
