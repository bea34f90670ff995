// Goal: two programs find out whether each can go on with what the other one leaves.

#include "daemon/formats.h"

#include <gtest/gtest.h>

namespace netfs::daemon {
namespace {

TEST(Formats, ComeBackAsTheyWereSaid) {
  const Formats said = our_formats();
  const Formats back = decode_formats(encode(said)).value();
  EXPECT_EQ(back.version, said.version);
  ASSERT_EQ(back.each.size(), said.each.size());
  for (const char* name : {"arena", "cache", "journal", "link", "supervisor"}) {
    ASSERT_TRUE(back.each.contains(name)) << name;
    EXPECT_EQ(back.each.at(name).writes, said.each.at(name).writes);
    EXPECT_EQ(back.each.at(name).reads, said.each.at(name).reads);
  }
  EXPECT_EQ(difference(said, back), "");
}

TEST(Formats, NonsenseIsRefused) {
  for (const char* text :
       {"", "{}", "[]", "netfs 1.0", R"({"netfs":"1","formats":[]})",
        R"({"netfs":"1","formats":{"arena":{"writes":1}}})",
        R"({"netfs":"1","formats":{"arena":{"writes":1,"reads":["1"]}}})",
        R"({"netfs":1,"formats":{}})", R"({"netfs":"1","formats":{"arena":7}})"}) {
    EXPECT_TRUE(decode_formats(text).is_error(EPROTO)) << text;
  }
}

// Of the arena an addition is no hindrance, either way, and another layout is.
TEST(Formats, AnArenaWithAnAdditionIsReadByWhoDoesNotKnowIt) {
  const Formats ours = our_formats();
  Formats theirs = ours;
  theirs.each.at("arena").writes += uint64_t{1} << 32;
  EXPECT_EQ(difference(ours, theirs), "");
  EXPECT_EQ(difference(theirs, ours), "");
  theirs.each.at("arena").writes += 1;
  EXPECT_NE(difference(ours, theirs), "");
}

TEST(Formats, OneThatCannotReadWhatIsHereIsNamed) {
  const Formats ours = our_formats();
  Formats theirs = ours;
  theirs.each.at("arena") = {.writes = 7, .reads = {7}};
  EXPECT_NE(difference(ours, theirs).find("its arena is of another version"), std::string::npos);
  theirs = ours;
  theirs.each.erase("journal");
  EXPECT_NE(difference(ours, theirs).find("knows no journal"), std::string::npos);
}

// A newer one that reads what is here, and writes what is not read here: there would be no way
// back.
TEST(Formats, OneThatCouldNotBeTakenBackIsRefused) {
  const Formats ours = our_formats();
  Formats theirs = ours;
  const uint64_t old = ours.each.at("link").writes;
  theirs.each.at("link") = {.writes = old + 1, .reads = {old, old + 1}};
  EXPECT_NE(difference(ours, theirs).find("could not be taken back"), std::string::npos);
  theirs.each.at("link") = {.writes = old, .reads = {old, old + 1}};
  theirs.each["something"] = {.writes = 1, .reads = {1}};
  EXPECT_EQ(difference(ours, theirs), "") << "it reads more than is here";
}

}  // namespace
}  // namespace netfs::daemon
