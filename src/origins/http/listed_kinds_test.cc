#include "origins/http/listed_kinds.h"

#include <gtest/gtest.h>

namespace netfs::origins::http {
namespace {

using Verdict = ListedKinds::Verdict;

ListedName file(const std::string& name, const char* tag) {
  return {.name = name,
          .size_bytes = 1024,
          .mtime_seconds = 784111777,
          .tag = tag == nullptr ? std::nullopt : parse_entity_tag(tag)};
}

Edition seen(const char* tag) {
  return edition_of(parse_entity_tag(tag), 784111777, 1024, 5);
}

Verdict compare_once(const ListedName& listed, const Edition& edition) {
  ListedKinds kinds;
  const std::string kind = ListedKinds::kind_of(listed);
  EXPECT_EQ(kinds.of(kind), Verdict::kUnknown);
  kinds.compared(kind, listed, edition);
  return kinds.of(kind);
}

TEST(ListedKinds, OneFileOfAKindSaysWhetherListingsAreBelieved) {
  EXPECT_EQ(compare_once(file("a", "\"v1\""), seen("\"v1\"")), Verdict::kSame);
  EXPECT_EQ(compare_once(file("a", "W/\"v1\""), seen("W/\"v1\"")), Verdict::kSame);
  // nginx: its tag is what the listing has without one.
  EXPECT_EQ(compare_once(file("a", nullptr), seen("\"2ebc98a1-400\"")), Verdict::kSame);
  EXPECT_EQ(compare_once(file("a", "\"v0\""), seen("\"v1\"")), Verdict::kUnknown);
  EXPECT_EQ(compare_once(file("a", nullptr), seen("\"v1\"")), Verdict::kUnknown);
  EXPECT_EQ(compare_once(file("a", "\"v1\""), seen("W/\"v1\"")), Verdict::kUnknown);
  Edition longer = seen("\"v1\"");
  longer.size_bytes += 1;
  EXPECT_EQ(compare_once(file("a", "\"v1\""), longer), Verdict::kUnknown);
  Edition later = seen("\"v1\"");
  later.mtime_seconds += 1;
  EXPECT_EQ(compare_once(file("a", "\"v1\""), later), Verdict::kUnknown);
}

TEST(ListedKinds, AKindThatDiffersAgainAndAgainIsLeftAlone) {
  ListedKinds kinds;
  const ListedName page = file("a.php", "\"v0\"");
  const std::string kind = ListedKinds::kind_of(page);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(kinds.of(kind), Verdict::kUnknown) << i;
    kinds.compared(kind, page, seen("\"v1\""));
  }
  EXPECT_EQ(kinds.of(kind), Verdict::kOther);
  EXPECT_EQ(kinds.of(ListedKinds::kind_of(file("b.PHP", "\"x\""))), Verdict::kOther);
  EXPECT_EQ(kinds.of(ListedKinds::kind_of(file("b.txt", "\"x\""))), Verdict::kUnknown);
  EXPECT_EQ(kinds.of(ListedKinds::kind_of(file("b.php", nullptr))), Verdict::kUnknown);
}

TEST(ListedKinds, OneThatIsTheSameDoesNotMakeUpForOthersThatAreNot) {
  ListedKinds kinds;
  const ListedName page = file("a.php", "\"v0\"");
  const std::string kind = ListedKinds::kind_of(page);
  kinds.compared(kind, page, seen("\"v1\""));
  for (int i = 0; i < 7; ++i) {
    kinds.compared(kind, page, seen("\"v0\""));
    EXPECT_EQ(kinds.of(kind), Verdict::kUnknown) << i;
  }
  kinds.compared(kind, page, seen("\"v0\""));
  EXPECT_EQ(kinds.of(kind), Verdict::kSame) << "many do";
  // Of another listing, which was compared at the same time.
  kinds.compared(kind, page, seen("\"v1\""));
  EXPECT_EQ(kinds.of(kind), Verdict::kUnknown);
  kinds.not_compared(kind);
  EXPECT_EQ(kinds.of(kind), Verdict::kOther) << "by that it is no file, too";
  for (int i = 0; i < 20; ++i) kinds.compared(kind, page, seen("\"v0\""));
  EXPECT_EQ(kinds.of(kind), Verdict::kOther) << "for good";
}

TEST(ListedKinds, EndingsThatTellNothingAreOneKindAndMoreThanAreTakenAreLeftAlone) {
  const std::string none = ListedKinds::kind_of(file("a", "\"x\""));
  for (const char* name : {"a.1", "a.000017", "a.", "a.b c", "a.averylongending", "a.1php"}) {
    EXPECT_EQ(ListedKinds::kind_of(file(name, "\"x\"")), none) << name;
  }
  EXPECT_NE(ListedKinds::kind_of(file("a.h", "\"x\"")), none);
  ListedKinds kinds;
  for (int i = 0; i < 1000; ++i) {
    const ListedName one = file("a.x" + std::to_string(i), "\"v1\"");
    kinds.compared(ListedKinds::kind_of(one), one, seen("\"v1\""));
  }
  EXPECT_EQ(kinds.of(ListedKinds::kind_of(file("a.x1", "\"v1\""))), Verdict::kSame);
  EXPECT_EQ(kinds.of(ListedKinds::kind_of(file("a.x999", "\"v1\""))), Verdict::kOther);
}

}  // namespace
}  // namespace netfs::origins::http
