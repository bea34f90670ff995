// Goal: `netfs status` and `netfs cache` tell the truth, with and without a daemon, and all that
// they tell is in the manual.

#include <csignal>
#include <set>

#include "tests/mount/command_fixture.h"

namespace netfs::test {
namespace {

using Command = CommandTest;

TEST_F(Command, SecondMountReadsFromTheCache) {
  ASSERT_EQ(mount({"--hot", "0s"}).status, 0);
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
  EXPECT_TRUE(wait_until([&] { return status()["cache"]["sealed_count"] == 1; }, kBound));
  ASSERT_EQ(netfs({"umount", mount_point_}).status, 0);
  ASSERT_EQ(mount({"--hot", "0s"}).status, 0);
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
  const nlohmann::json seen = status();
  EXPECT_EQ(seen["mounts"][0]["bytes"]["origin_bytes"], 0) << seen;
  EXPECT_EQ(seen["mounts"][0]["opens"]["passthrough"], 1) << seen;
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
}

TEST_F(Command, StatusShowsWhatItPromises) {
  ASSERT_EQ(mount({"--metadata-ttl", "7s", "--no-passthrough"}).status, 0);
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
  const nlohmann::json seen = status();
  for (const char* key : {"netfs", "pid", "supervisor_pid", "worker_restarts", "uptime_s",
                          "cache_dir", "memory", "cache", "stores", "mounts"}) {
    EXPECT_TRUE(seen.contains(key)) << key;
  }
  ASSERT_EQ(seen["mounts"].size(), 1u);
  const nlohmann::json& one = seen["mounts"][0];
  for (const char* key : {"url", "mount_point", "origin", "options", "transport", "features",
                          "hits", "misses", "bytes", "reads", "errors", "latency", "operations",
                          "names", "opens", "requests", "library_requests", "refused_names"}) {
    EXPECT_TRUE(one.contains(key)) << key;
  }
  EXPECT_EQ(one["url"], url_);
  EXPECT_EQ(one["options"]["metadata_ttl"], "7.0 s");
  bool found = false;
  for (const nlohmann::json& feature : one["features"]) {
    if (feature["name"] != "passthrough") continue;
    found = true;
    EXPECT_EQ(feature["on"], false);
    EXPECT_EQ(feature["why_not"], "--no-passthrough");
  }
  EXPECT_TRUE(found);
  const Finished text = netfs({"status"});
  EXPECT_EQ(text.status, 0);
  EXPECT_NE(text.output.find(mount_point_), std::string::npos);
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
}

void collect_keys(const nlohmann::json& value, std::set<std::string>& keys) {
  if (!value.is_structured()) return;  // a number is its own only item
  for (const auto& [key, item] : value.items()) {
    if (value.is_object()) keys.insert(key);
    collect_keys(item, keys);
  }
}

TEST_F(Command, EveryFieldOfStatusIsInTheManual) {
  // With something in flight for as long as anybody may need, so that requests are shown.
  ASSERT_EQ(mount({"--uid", "1", "--gid", "2", "--umask", "022", "--simulate",
                   "rtt=300ms,bandwidth=40Kbit"})
                .status,
            0);
  Process reader({"cat", mount_point_ + "/folder/file"}, temp_ / "reader.log");
  nlohmann::json seen;
  EXPECT_TRUE(wait_until(
      [&] {
        seen = status();
        return !seen["mounts"][0]["requests"].empty() &&
               !seen["mounts"][0]["library_requests"].empty();
      },
      kBound));
  reader.signal(SIGKILL);
  EXPECT_TRUE(reader.wait(kBound).has_value());
  for (nlohmann::json& one : seen["mounts"]) one.erase("operations");  // names of the kernel's
  std::set<std::string> keys;
  collect_keys(seen, keys);
  collect_keys(
      nlohmann::json::parse(netfs({"cache", "list", "--json", "--cache-dir", cache_}).output,
                            nullptr, false),
      keys);
  EXPECT_GT(keys.size(), 100u);
  const std::string manual = read_text(NETFS_TEST_STATUS_MANUAL);
  for (const std::string& key : keys) {
    EXPECT_NE(manual.find("`" + key + "`"), std::string::npos) << key;
  }
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
}

TEST_F(Command, CacheIsListedAndDroppedThroughTheDaemonAndWithoutIt) {
  ASSERT_EQ(mount({"--hot", "0s"}).status, 0);
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
  EXPECT_TRUE(wait_until([&] { return status()["cache"]["sealed_count"] == 1; }, kBound));
  const std::vector<std::string> dir = {"--cache-dir", cache_};
  const auto cache = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "cache");
    words.insert(words.end(), dir.begin(), dir.end());
    return netfs(words);
  };
  EXPECT_NE(cache({"list"}).output.find("folder/file"), std::string::npos);
  EXPECT_EQ(cache({"drop", mount_point_ + "/folder"}).output, "1 files dropped\n");
  EXPECT_EQ(cache({"list"}).output.find("folder/file"), std::string::npos);
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
  expect_daemon_ends();
  ASSERT_EQ(mount({"--hot", "0s"}).status, 0);
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
  expect_daemon_ends();
  const nlohmann::json objects =
      nlohmann::json::parse(cache({"list", "--json"}).output, nullptr, false)["objects"];
  ASSERT_EQ(objects.size(), 1u) << objects;
  EXPECT_EQ(objects[0]["path"], "folder/file");
  EXPECT_EQ(objects[0]["stored_bytes"], 300'000);
  EXPECT_EQ(cache({"usage", "--json"}).status, 0);
  EXPECT_EQ(cache({"drop", "--all"}).output, "1 files dropped\n");
  EXPECT_EQ(cache({"drop"}).status, 1);
}

// Names, mount points and the paths of `netfs cache drop` are bytes, which need not be UTF-8.
TEST_F(Command, NamesThatAreNoUtf8AreMountedListedAndDropped) {
  const std::string name = "bad\xff\xfe name\n";
  write_file(source_ + "/" + name, "bytes");
  mount_point_ = temp_.make_dir("mnt\xff");
  ASSERT_EQ(mount({"--hot", "0s"}).status, 0);
  EXPECT_EQ(read_whole(mount_point_ + "/" + name).value(), "bytes");
  const std::vector<std::string> list = {"cache", "list", "--cache-dir", cache_};
  EXPECT_TRUE(wait_until(
      [&] { return netfs(list).output.find("bad\xff\xfe name\\x0a") != std::string::npos; },
      kBound))
      << netfs(list).output;
  EXPECT_EQ(netfs({"cache", "drop", mount_point_ + "/" + name, "--cache-dir", cache_}).output,
            "1 files dropped\n");
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
  expect_daemon_ends();
}

// Nobody has set a limit where nothing is mounted.
TEST_F(Command, UsageOfACacheThatNobodyHasOpenNamesNoLimit) {
  ASSERT_EQ(mount().status, 0);
  EXPECT_TRUE(same_bytes(mount_point_ + "/folder/file", source_ + "/folder/file"));
  const std::vector<std::string> usage = {"cache", "usage", "--cache-dir", cache_};
  EXPECT_NE(netfs(usage).output.find(" of "), std::string::npos);
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
  expect_daemon_ends();
  EXPECT_EQ(netfs(usage).output.find(" of "), std::string::npos);
  EXPECT_EQ(netfs(usage).status, 0);
}

// The hand brake: whatever was believed for ever is asked again.
TEST_F(Command, DroppedPathIsAskedOfTheOriginAgain) {
  ASSERT_EQ(mount({"--hot", "0s", "--metadata-ttl", "forever"}).status, 0);
  EXPECT_EQ(read_whole(mount_point_ + "/folder/file").value(), pattern(1, 0, 300'000));
  write_file(source_ + "/folder/file", pattern(2, 0, 200'000), std::chrono::minutes(10));
  EXPECT_EQ(read_whole(mount_point_ + "/folder/file").value(), pattern(1, 0, 300'000))
      << "believed for ever";
  EXPECT_EQ(netfs({"cache", "drop", mount_point_ + "/folder", "--cache-dir", cache_}).status, 0);
  EXPECT_TRUE(wait_until(
      [&] { return read_whole(mount_point_ + "/folder/file").value() == pattern(2, 0, 200'000); },
      kBound));
  EXPECT_EQ(netfs({"umount", mount_point_}).status, 0);
}

}  // namespace
}  // namespace netfs::test
