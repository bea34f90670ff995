// Goal: what version 4 of NFS has of its own, read-only: its root, exports below it, owners in
// words, files without state at the server, which may be restarted.

#include <cerrno>
#include <filesystem>
#include <set>
#include <unistd.h>

#include "netfs/origin_writer.h"
#include "tests/origin-conformance/nfs_fixture.h"
#include "tests/origin-conformance/waited_write.h"
#include "tests/support/watchdog.h"

namespace netfs::test {
namespace {

class Nfs4 : public Nfs {
 protected:
  [[nodiscard]] origins::OriginRequest request_4(const std::string& path) const {
    return request(nfs_->url_4(path));
  }
  [[nodiscard]] std::unique_ptr<Origin> open_4(const std::string& path) const {
    return open(request_4(path));
  }
  static std::set<std::string> names_in(Origin& origin, const std::string& path) {
    std::set<std::string> names;
    const Result<void> listed = origin.list(path, soon(), [&](const OriginEntry& entry) {
      EXPECT_TRUE(names.insert(entry.name).second) << "twice: " << entry.name;
      return Result<void>();
    });
    EXPECT_TRUE(listed.ok()) << listed.error().message();
    return names;
  }
  // By version 3.
  static void put(Origin& origin, const std::string& path, const std::string& bytes) {
    const OpenedFile made = MUST(origin.writer()->create(path, {.permissions = 0644}, soon()));
    EXPECT_TRUE(WaitedWrite(*made.file, 0, bytes).run(*origin.writer()).transferred_bytes.ok());
  }
};

TEST_F(Nfs4, AMountThatFailsSaysWhatItWas) {
  const std::string port =
      refusal(request("nfs://127.0.0.1" + tree_ + "?version=4&nfsport=1"), ENOTCONN);
  EXPECT_NE(port.find("port 1: NFS version 4: no connection by TCP"), std::string::npos) << port;
  const std::string missing = refusal(request_4(tree_ + "/missing"), ENOENT);
  EXPECT_NE(missing.find(tree_ + "/missing"), std::string::npos) << missing;
  EXPECT_NE(missing.find("pseudo root"), std::string::npos) << missing;
  write_file(tree_ + "/file", "x");
  EXPECT_NE(refusal(request_4(tree_ + "/file"), ENOTDIR).find(tree_ + "/file"), std::string::npos);
  EXPECT_NE(refusal(request_4(tree_ + "/file/below"), ENOTDIR).find("/below"), std::string::npos);
}

TEST_F(Nfs4, ItReadsOnlyAndSaysSo) {
  const std::unique_ptr<Origin> origin = open_4(tree_);
  ASSERT_NE(origin, nullptr);
  EXPECT_EQ(origin->writer(), nullptr);
  EXPECT_EQ(origin->locks(), nullptr);
  EXPECT_EQ(field(*origin, "version"), "4.0, which reads only");
  const FileSystemStats stats = MUST(origin->stat_file_system(soon()));
  EXPECT_GT(stats.blocks, 0U);
  EXPECT_GE(stats.blocks_free, stats.blocks_available);
}

TEST_F(Nfs4, ReadsLiveThroughARestartOfTheServer) {
  const Watchdog watchdog(std::chrono::seconds(150), [] { std::abort(); });
  write_file(tree_ + "/file", pattern(1, 0, kBytes));
  const std::unique_ptr<Origin> origin = open_4(tree_);
  ASSERT_NE(origin, nullptr);
  read_over_a_restart(*origin);
}

TEST_F(Nfs4, CallsWaitForAServerThatComesBack) {
  const Watchdog watchdog(std::chrono::seconds(150), [] { std::abort(); });
  write_file(tree_ + "/file", "here");
  const std::unique_ptr<Origin> origin = open_4(tree_);
  ASSERT_NE(origin, nullptr);
  nfs_->crash();
  sync::Thread starter("test-starter", [&] { start_when_down(*origin); });
  EXPECT_EQ(names_in(*origin, ""), std::set<std::string>{"file"});
  starter.join();
  EXPECT_EQ(MUST(read_file(*origin, "file")), "here");
}

// The server has a root of its own, where what it exports hangs at its path.
TEST_F(Nfs4, TheRootOfTheServerLeadsIntoWhatItExports) {
  write_file(tree_ + "/file", "below");
  const std::unique_ptr<Origin> all = open_4("/");
  const std::unique_ptr<Origin> tree = open_4(tree_);
  ASSERT_TRUE(all != nullptr && tree != nullptr);
  const std::string path = tree_.substr(1);
  EXPECT_TRUE(names_in(*all, "").contains(path.substr(0, path.find('/'))));
  EXPECT_EQ(names_in(*all, path), std::set<std::string>{"file"});
  EXPECT_EQ(MUST(read_file(*all, path + "/file")), "below");
  const NodeInfo file = MUST(all->stat(path + "/file", soon()));
  EXPECT_EQ(file.identity, MUST(tree->stat("file", soon())).identity);
  EXPECT_NE(file.identity, MUST(all->stat("", soon())).identity);
}

TEST_F(Nfs4, LinksOnTheWayToWhatIsMountedAreFollowed) {
  std::filesystem::create_directories(tree_ + "/a/b");
  write_file(tree_ + "/a/b/file", "found");
  std::filesystem::create_directory_symlink("a", tree_ + "/relative");
  std::filesystem::create_directory_symlink("../a/b", tree_ + "/a/up");
  std::filesystem::create_directory_symlink(tree_ + "/a", tree_ + "/absolute");
  std::filesystem::create_directory_symlink("round", tree_ + "/round");
  for (const char* way : {"/relative/b", "/relative/up", "/absolute/b"}) {
    const std::unique_ptr<Origin> origin = open_4(tree_ + way);
    ASSERT_NE(origin, nullptr) << way;
    EXPECT_EQ(MUST(read_file(*origin, "file")), "found") << way;
  }
  EXPECT_NE(refusal(request_4(tree_ + "/round"), ELOOP), "");
}

TEST_F(Nfs4, OwnersAreThoseThatTheyHaveOnThisMachineOrNumbers) {
  for (const char* name : {"named", "numbered", "linked"}) write_file(tree_ + "/" + name, "x");
  ASSERT_EQ(::chown((tree_ + "/named").c_str(), 1, 2), 0);
  ASSERT_EQ(::chown((tree_ + "/numbered").c_str(), 123'456, 234'567), 0);
  const std::unique_ptr<Origin> origin = open_4(tree_);
  ASSERT_NE(origin, nullptr);
  const Attributes named = MUST(origin->stat("named", soon())).attributes;
  EXPECT_EQ(named.uid, 1U);
  EXPECT_EQ(named.gid, 2U);
  const Attributes numbered = MUST(origin->stat("numbered", soon())).attributes;
  EXPECT_EQ(numbered.uid, 123'456U);
  EXPECT_EQ(numbered.gid, 234'567U);
  EXPECT_EQ(MUST(origin->stat("linked", soon())).attributes.uid, ::geteuid());
}

TEST_F(Nfs4, AnotherClientsChangesAreSeenAndAFileThatItRemovedIsStale) {
  const std::unique_ptr<Origin> ours = open_4(tree_);
  const std::unique_ptr<Origin> theirs = open(request());
  ASSERT_TRUE(ours != nullptr && theirs != nullptr);
  const NewNode directory{.type = FileType::kDirectory, .permissions = 0755};
  ASSERT_TRUE(theirs->writer()->make("d", directory, soon()).ok());
  put(*theirs, "d/f", "first");
  EXPECT_EQ(MUST(read_file(*ours, "d/f")), "first");
  const NodeInfo before = MUST(ours->stat("d/f", soon()));
  const Result<std::unique_ptr<OriginFile>> file = ours->open("d/f", soon());
  ASSERT_TRUE(file.ok());
  const Result<ReadBytes> read = read_range(*ours, *file.value(), {0, 5});
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(read.value().validator, before.validator);
  // In place, of the same length.
  const OpenedFile opened = MUST(theirs->writer()->open_for_writing("d/f", soon()));
  ASSERT_TRUE(WaitedWrite(*opened.file, 0, "again").run(*theirs->writer()).transferred_bytes.ok());
  const Result<ReadBytes> again = read_range(*ours, *file.value(), {0, 5});
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(again.value().bytes, "again");
  EXPECT_FALSE(again.value().validator == before.validator);
  EXPECT_EQ(MUST(ours->stat("d/f", soon())).identity, before.identity);
  // The directory itself is another one, too: the handle that we know of it is stale.
  ASSERT_TRUE(theirs->writer()->remove("d/f", RemoveKind::kFile, soon()).ok());
  ASSERT_TRUE(theirs->writer()->remove("d", RemoveKind::kDirectory, soon()).ok());
  ASSERT_TRUE(theirs->writer()->make("d", directory, soon()).ok());
  put(*theirs, "d/f", "other");
  EXPECT_EQ(MUST(read_file(*ours, "d/f")), "other");
  EXPECT_TRUE(read_range(*ours, *file.value(), {0, 5}).is_error(ESTALE));
}

}  // namespace
}  // namespace netfs::test
