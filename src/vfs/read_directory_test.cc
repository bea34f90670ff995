#include <algorithm>
#include <set>

#include "vfs/limits.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

using ReadDirectory = MountFixture;

bool has(uint32_t flags, uint32_t flag) {
  return (flags & flag) != 0;
}

TEST_F(ReadDirectory, EachEntryComesWithItsAttributesAndCountsAsLookedUp) {
  write("a", "1");
  write("dir/b", "22");
  start();
  const std::vector<Listed> all = list();
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].name, ".");
  EXPECT_EQ(all[0].entry.nodeid, 0U);
  EXPECT_EQ(all[1].name, "..");
  EXPECT_EQ(all[2].name, "a");
  EXPECT_EQ(all[2].entry.attr.size, 1U);
  EXPECT_EQ(all[2].entry.attr_valid, 5U);
  EXPECT_EQ(all[2].entry.attr.ino, all[2].dirent.ino);
  EXPECT_EQ(look_up("a").nodeid, all[2].entry.nodeid);
  EXPECT_EQ(origin_.counts().stats, 1U) << "only the root's";
}

TEST_F(ReadDirectory, AHundredThousandEntriesAreReadWholeFromOneListing) {
  constexpr size_t kEntries = 100'000;
  for (size_t i = 0; i < kEntries; ++i) tree_.add_file("name-" + std::to_string(i), "x");
  start({.metadata_ttl = std::chrono::hours(1)});
  const std::vector<std::string> first = names_of(list());
  EXPECT_EQ(first.size(), kEntries);
  EXPECT_EQ(std::set<std::string>(first.begin(), first.end()).size(), kEntries);
  EXPECT_EQ(names_of(list()), first);
  EXPECT_EQ(origin_.counts().lists, 1U);
  EXPECT_EQ(fs_->sizes().nodes, kEntries + 1);
}

TEST_F(ReadDirectory, OffsetsStayTrueWhileTheDirectoryChanges) {
  for (int i = 0; i < 500; ++i) tree_.add_file("name-" + std::to_string(i), "x");
  start();
  const uint64_t handle = open_directory(fuse::kRootNode).as<proto::OpenOut>().fh;
  constexpr uint64_t kMiddle = 200;
  const std::vector<std::string> before = names_of(list(fuse::kRootNode, handle, 4096, kMiddle));
  for (int i = 0; i < 250; ++i) tree_.remove("name-" + std::to_string(i));
  tree_.add_file("another", "x");
  clock_.advance(std::chrono::seconds(6));
  EXPECT_EQ(names_of(list()).size(), 251U);
  EXPECT_EQ(names_of(list(fuse::kRootNode, handle, 4096, kMiddle)), before);
}

TEST_F(ReadDirectory, NamesThatNoDirectoryCanHoldAreRefusedAndListed) {
  write("good", "1");
  const NodeInfo info = MUST(tree_.stat("good", Deadline::never()));
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"),
        std::string("nul\0l", 5), std::string(256, 'x'), std::string("good2")}) {
    origin_.add_entry({name, info});
  }
  origin_.add_entry({"good", info});  // a second time
  start();
  const std::vector<Listed> all = list();
  EXPECT_EQ(names_of(all), (std::vector<std::string>{"good", "good2"}));
  EXPECT_EQ(fs_->counters().refused_names.get(), 6U);
  const std::vector<std::string> refused = fs_->refused_names();
  EXPECT_EQ(refused.size(), 6U);
  EXPECT_NE(std::find(refused.begin(), refused.end(), "/nul\\x00l"), refused.end());
}

TEST_F(ReadDirectory, NamesAreBytes) {
  const std::string odd = "\xff\xfe back\\slash\nnew";
  write(odd, "1");
  start();
  EXPECT_EQ(names_of(list()), std::vector<std::string>{odd});
  EXPECT_EQ(look_up(odd).attr.size, 1U);
}

TEST_F(ReadDirectory, ConcurrentListingsOfOneDirectoryAreOneCall) {
  write("a", "1");
  start();
  origin_.hold();
  std::vector<uint64_t> asked;
  for (int i = 0; i < 10; ++i) {
    asked.push_back(kernel_->send(Opcode::kOpendir, fuse::kRootNode, proto::OpenIn{}));
  }
  ASSERT_TRUE(origin_.wait_held(1));
  EXPECT_EQ(get_attributes(fuse::kRootNode).error, 0);
  origin_.release();
  for (const uint64_t unique : asked) EXPECT_EQ(await(unique).error, 0);
  EXPECT_EQ(origin_.counts().lists, 1U);
}

TEST_F(ReadDirectory, TheKernelKeepsAListingOnlyWhileItIsTheSame) {
  write("a", "1");
  start();
  const auto flags = [&] {
    const auto out = open_directory(fuse::kRootNode).as<proto::OpenOut>();
    (void)list(fuse::kRootNode, out.fh);
    EXPECT_EQ(call(Opcode::kReleasedir, fuse::kRootNode, proto::ReleaseIn{.fh = out.fh}).error, 0);
    return out.open_flags;
  };
  EXPECT_EQ(flags(), proto::kFopenCacheDir);
  EXPECT_EQ(flags(), proto::kFopenCacheDir | proto::kFopenKeepCache);
  write("b", "1");
  clock_.advance(std::chrono::seconds(6));
  EXPECT_EQ(flags(), proto::kFopenCacheDir) << "another listing";
  EXPECT_EQ(flags(), proto::kFopenCacheDir | proto::kFopenKeepCache);
}

TEST_F(ReadDirectory, ForgottenNamesAreBroughtBackByTheListingNotOneByOne) {
  for (int i = 0; i < 100; ++i) tree_.add_file("name-" + std::to_string(i), "x");
  start();
  const auto flags = [&] {
    const auto out = open_directory(fuse::kRootNode).as<proto::OpenOut>();
    EXPECT_EQ(call(Opcode::kReleasedir, fuse::kRootNode, proto::ReleaseIn{.fh = out.fh}).error, 0);
    return out.open_flags;
  };
  const std::vector<Listed> all = list();
  EXPECT_TRUE(has(flags(), proto::kFopenKeepCache));
  for (const Listed& one : all) {
    if (one.entry.nodeid != 0) kernel_->forget(NodeId(one.entry.nodeid), 1);
  }
  EXPECT_FALSE(has(flags(), proto::kFopenKeepCache));
}

TEST_F(ReadDirectory, NamesThatGrowOldWhileADirectoryIsReadAreListedAgain) {
  for (int i = 0; i < 400; ++i) tree_.add_file("name-" + std::to_string(i), "x");
  start();
  const uint64_t handle = open_directory(fuse::kRootNode).as<proto::OpenOut>().fh;
  const Answer first = read_directory(fuse::kRootNode, handle, 0, 4096);
  EXPECT_FALSE(first.body.empty());
  clock_.advance(std::chrono::seconds(6));
  for (const Listed& one : list(fuse::kRootNode, handle, 4096)) {
    if (one.name == "." || one.name == "..") continue;
    EXPECT_NE(one.entry.nodeid, 0U) << one.name;
    EXPECT_EQ(one.entry.attr_valid, 5U);
  }
  EXPECT_EQ(origin_.counts().lists, 2U);
  EXPECT_EQ(origin_.counts().stats, 1U);
}

TEST_F(ReadDirectory, EntriesWithoutAttributesAreNamesOnly) {
  origin_.add_entry({"unknown", NodeInfo{}});
  tree_.add_file("unknown2", "text");
  start();
  const std::vector<Listed> all = list();
  const auto found =
      std::find_if(all.begin(), all.end(), [](const Listed& one) { return one.name == "unknown"; });
  ASSERT_NE(found, all.end());
  EXPECT_EQ(found->entry.nodeid, 0U);
  EXPECT_NE(found->dirent.ino, 0U) << "a name without a number would not be shown";
  EXPECT_EQ(found->dirent.type, 0U);
  tree_.add_file("unknown", "text");
  EXPECT_EQ(look_up("unknown").attr.size, 4U) << "the listing proves no name absent";
}

TEST_F(ReadDirectory, NamesThatAreGoneAreNotFoundAnyMore) {
  write("a", "1");
  write("b", "1");
  start();
  (void)list();
  tree_.remove("a");
  clock_.advance(std::chrono::seconds(6));
  EXPECT_EQ(names_of(list()), std::vector<std::string>{"b"});
  EXPECT_EQ(look_up_error("a"), ENOENT);
  EXPECT_EQ(origin_.counts().stats, 1U);
}

TEST_F(ReadDirectory, ErrorsOfTheOriginReachTheOpen) {
  write("file", "1");
  start();
  EXPECT_EQ(open_directory(NodeId(look_up("file").nodeid)).error, ENOTDIR);
  origin_.set_error(EACCES);
  EXPECT_EQ(open_directory(fuse::kRootNode).error, EACCES);
  EXPECT_EQ(read_directory(fuse::kRootNode, 77, 0).error, ESTALE) << "a handle of nobody's";
}

}  // namespace
}  // namespace netfs::vfs
