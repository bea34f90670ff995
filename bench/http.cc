// Cold sequential over plain HTTP from nginx, the cache being written: on loopback, and through a
// proxy of 20 and 100 ms and 1 Gbit/s.  netfs, `curl -o FILE` to the same disk, rclone.
//
// And open+read+close of 2,000 small files (4 to 64 KiB, 50 directories) through 20 ms, each
// directory listed and its files read in that order.
//
// Every run mounts anew with an empty cache.  Mounts stand before the clock starts; curl connects
// in its time, which is two round trips.  The server's file is in its page cache on all sides.

#include <optional>

#include "harness/delay_proxy.h"
#include "harness/lab.h"
#include "harness/page_cache.h"
#include "harness/patterns.h"
#include "harness/server_script.h"

namespace netfs::bench {
namespace {

constexpr uint64_t kBitsPerSecond = 1'000'000'000;
constexpr uint32_t kBlockBytes = 1 << 20;
constexpr std::chrono::minutes kCurlTimeout{5};

// rclone's manual: as over SFTP; what HTTP has no words for is left out.
const std::vector<std::string> kRcloneOptions = {"--vfs-cache-mode=full",  "--vfs-read-ahead=128M",
                                                 "--buffer-size=64M",      "--max-read-ahead=1M",
                                                 "--dir-cache-time=1h",    "--attr-timeout=1h",
                                                 "--vfs-fast-fingerprint", "--no-checksum"};

struct HttpMount {
  Lab& lab;
  Client client;
  std::string directory;
  std::string cache;
  std::function<Result<Work>(const Mount&)> work;
  std::optional<Mount> mounted{};

  Result<void> prepare() {
    remove_tree(cache);
    mounted.emplace(TRY(Mount::start(client.command, directory)));
    return {};
  }
  Result<Work> run() const { return work(*mounted); }
};

// What is read, and from where.
struct Task {
  std::string remote;  // a folder
  std::function<Result<Work>(const Mount&)> work;
};

Task whole_file(const FileSpec& source) {
  return {.remote = source.path.substr(0, source.path.rfind('/')),
          .work = [source](const Mount& mount) -> Result<Work> {
            FileSpec file = source;
            file.path = mount.path(source.path.substr(source.path.rfind('/') + 1));
            return read_sequential(file, kBlockBytes);
          }};
}

std::string server_of(uint16_t port) {
  return "http://127.0.0.1:" + std::to_string(port);
}

Side side_of(HttpMount mount) {
  Side side{.name = mount.client.name, .how = mount.client.how};
  auto state = std::make_shared<HttpMount>(std::move(mount));
  side.prepare = [state] { return state->prepare(); };
  side.run = [state] { return state->run(); };
  side.finish = [state] { state->mounted.reset(); };
  side.processes = [state] { return state->mounted->processes(); };
  return side;
}

Side netfs_side(Lab& lab, uint16_t port, const Task& task) {
  std::string directory = lab.work().path("http-netfs");
  std::string cache = lab.work().path("cache-http-netfs");
  Client client{.name = "netfs", .how = "netfs mount http://... --cache-dir ..."};
  client.command = {.argv = {lab.options().netfs_program, "mount", server_of(port) + task.remote,
                             directory, "--foreground", "--cache-dir", cache},
                    .log = lab.work().path("http-netfs.log")};
  return side_of({lab, std::move(client), directory, cache, task.work});
}

Side rclone_side(Lab& lab, uint16_t port, const Task& task) {
  std::string directory = lab.work().path("http-rclone");
  std::string cache = lab.work().path("cache-http-rclone");
  std::vector<std::string> argv{"rclone",
                                "mount",
                                ":http:" + task.remote,
                                directory,
                                "--config=/dev/null",
                                "--read-only",
                                "--cache-dir=" + cache,
                                "--http-url=" + server_of(port)};
  std::string how = line_of({"rclone", "version"}, "rclone") + " mount :http:";
  for (const std::string& word : kRcloneOptions) {
    argv.push_back(word);
    how += " " + word;
  }
  Client client{.name = "rclone", .how = std::move(how)};
  client.command = {.argv = std::move(argv), .log = lab.work().path("http-rclone.log")};
  return side_of({lab, std::move(client), directory, cache, task.work});
}

Side curl_side(Lab& lab, uint16_t port, const FileSpec& source) {
  std::string copy = lab.work().path("curl-copy");
  Side side{.name = "curl", .how = line_of({"curl", "--version"}, "curl") + ": curl -s -o FILE"};
  side.prepare = [copy, source] {
    remove_tree(copy);
    return warm_file(source.path);
  };
  side.run = [copy, source, url = server_of(port) + source.path] {
    return run_jobs(1, [&](unsigned, Gate& gate) -> Result<uint64_t> {
      gate.wait();
      TRY(run({.argv = {"curl", "-s", "-f", "-o", copy, url}}, kCurlTimeout));
      return source.size_bytes;
    });
  };
  return side;
}

struct Setting {
  std::string name, what, reach;
};

Result<void> sequential(Lab& lab, const Setting& setting, uint16_t port, const FileSpec& full,
                        const FileSpec& part) {
  if (!lab.options().wants(setting.name)) return {};
  TRY(warm_file(full.path));
  TRY(warm_file(part.path));
  std::vector<Side> sides;
  if (lab.options().netfs) sides.push_back(netfs_side(lab, port, whole_file(full)));
  sides.push_back(curl_side(lab, port, full));
  if (lab.options().peers) {
    sides.push_back(rclone_side(lab, port, whole_file(part)));
    sides.back().rounds_max = 3;
  }
  lab.add(run_row({.name = setting.name,
                   .what = setting.what,
                   .unit = "MB/s",
                   .scale = 1e6,
                   .reach = setting.reach},
                  std::move(sides), lab.options().pairs));
  return {};
}

Result<void> small_files(Lab& lab, uint16_t port) {
  const std::string name = "http/in-turn-20ms";
  if (!lab.options().wants(name)) return {};
  const TreeSpec spec{.seed = 18,
                      .count = lab.size(2'000, 400),
                      .per_directory = 40,
                      .min_bytes = 4 << 10,
                      .max_bytes = 64 << 10};
  const std::string source = lab.work().path("source-http-files");
  TRY(make_tree(source, spec));
  const std::vector<FileSpec> files = tree_files(spec);
  Task task{.remote = source, .work = [files](const Mount& mount) {
              return read_listed(mount.directory(), files, Which::kAll);
            }};
  std::vector<Side> sides;
  if (lab.options().netfs) sides.push_back(netfs_side(lab, port, task));
  if (lab.options().peers) {
    sides.push_back(rclone_side(lab, port, task));
    sides.back().rounds_max = 1;
  }
  lab.add(run_row({.name = name,
                   .what = "open+read+close of " + std::to_string(spec.count) +
                           " small files in turn over HTTP at 20 ms, cold",
                   .unit = "files/s",
                   .reach = "ahead of every peer"},
                  std::move(sides), lab.options().pairs));
  return {};
}

Result<void> http(Lab& lab) {
  FileSpec full = TRY(lab.make_source("full", lab.size(1ULL << 30, 128ULL << 20)));
  FileSpec part = TRY(lab.make_source("part", lab.size(64ULL << 20, 16ULL << 20)));
  constexpr const char* kPort = "HTTP_NGINX_HTML_PORT";
  ServerScript server = TRY(ServerScript::start({.script = lab.options().http_script,
                                                 .words = {"nginx"},
                                                 .environment = {"HTTP_ROOT=" + lab.work().root()}},
                                                kPort, lab.work()));
  const uint16_t port = server.port(kPort);
  TRY(sequential(lab,
                 {"http/sequential/loopback",
                  "cold sequential over HTTP, loopback, cache being written", "0.9 of curl"},
                 port, full, full));
  for (unsigned rtt_ms : {20U, 100U}) {
    Link how{.rtt_ms = rtt_ms, .bits_per_second = kBitsPerSecond};
    DelayProxy proxy = TRY(DelayProxy::start(lab.options().proxy_program, how, port, lab.work()));
    const std::string far = std::to_string(rtt_ms) + " ms";
    TRY(sequential(
        lab,
        {"http/sequential-" + std::to_string(rtt_ms) + "ms",
         "cold sequential over HTTP, " + far + " and 1 Gbit/s (125 MB/s)", "0.95 of the link"},
        proxy.port(), full, part));
    if (rtt_ms == 20) TRY(small_files(lab, proxy.port()));
  }
  return {};
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("http", argc, argv, netfs::bench::http);
}
