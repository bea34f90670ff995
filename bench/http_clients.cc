#include "http_clients.h"

#include <optional>
#include <sys/stat.h>
#include <utility>

#include "harness/mount_status.h"
#include "harness/page_cache.h"
#include "harness/report.h"

namespace netfs::bench {

namespace {

constexpr std::chrono::minutes kCurlTimeout{5};

// rclone's manual: as over SFTP; what HTTP has no words for is left out.
const std::vector<std::string> kRcloneOptions = {"--vfs-cache-mode=full",  "--vfs-read-ahead=128M",
                                                 "--buffer-size=64M",      "--max-read-ahead=1M",
                                                 "--dir-cache-time=1h",    "--attr-timeout=1h",
                                                 "--vfs-fast-fingerprint", "--no-checksum"};

// davfs2.conf(5): nobody else changes what is read, nothing is locked, and the cache has room.
constexpr const char* kDavSettings =
    "ask_auth 0\nuse_locks 0\ncache_size 4096\ndir_refresh 3600\nfile_refresh 3600\n"
    "gui_optimize 1\nbuf_size 1024\n";

// mount.davfs ends once it is mounted, its daemon goes on as a user of its own: something has to
// stand for it that can be waited for.
constexpr const char* kDavScript =
    R"(mkdir -p "$1" && chgrp davfs2 "$1" && chmod 775 "$1" &&
       mount.davfs -o ro,conf="$2" "$3" "$4" && exec sleep 3600)";

struct HttpMount {
  Lab& lab;
  Client client;
  std::string directory;
  std::string cache;
  std::function<Result<Work>(const Mount&)> work;
  // The process that serves, where that is not the one that was started.
  std::function<Result<pid_t>()> server{};
  std::optional<Mount> mounted{};
  pid_t server_pid = 0;

  Result<void> prepare() {
    remove_tree(cache);
    mounted.emplace(TRY(Mount::start(client.command, directory)));
    if (server) server_pid = TRY(server());
    return {};
  }
  Result<Work> run() const { return work(*mounted); }
  [[nodiscard]] std::vector<pid_t> processes() const {
    return server ? std::vector<pid_t>{server_pid} : mounted->processes();
  }
};

Side side_of(HttpMount mount) {
  Side side{.name = mount.client.name, .how = mount.client.how};
  auto state = std::make_shared<HttpMount>(std::move(mount));
  side.prepare = [state] { return state->prepare(); };
  side.run = [state] { return state->run(); };
  side.finish = [state] { state->mounted.reset(); };
  side.processes = [state] { return state->processes(); };
  return side;
}

// /run/mount.davfs names its daemons after their mount points.
Result<pid_t> davfs_pid(const std::string& directory) {
  std::string name = directory.substr(1);
  for (char& letter : name) {
    if (letter == '/') letter = '-';
  }
  const std::string text = TRY(read_text("/run/mount.davfs/" + name + ".pid"));
  return static_cast<pid_t>(std::atoi(text.c_str()));
}

// `remote`: ":http:" or ":webdav:".
Side rclone_side(Lab& lab, const std::string& remote, const std::string& url,
                 const HttpTask& task) {
  std::string directory = lab.work().path("http-rclone");
  std::string cache = lab.work().path("cache-http-rclone");
  std::vector<std::string> argv{"rclone",
                                "mount",
                                remote + task.remote,
                                directory,
                                "--config=/dev/null",
                                "--read-only",
                                "--cache-dir=" + cache,
                                url};
  std::string how = line_of({"rclone", "version"}, "rclone") + " mount " + remote;
  for (const std::string& word : kRcloneOptions) {
    argv.push_back(word);
    how += " " + word;
  }
  Client client{.name = "rclone", .how = std::move(how)};
  client.command = {.argv = std::move(argv), .log = lab.work().path("http-rclone.log")};
  return side_of({lab, std::move(client), directory, cache, task.work});
}

}  // namespace

namespace {

Side netfs_side(Lab& lab, const HttpServer& server, const HttpTask& task, const std::string& name,
                const std::vector<std::string>& options) {
  std::string directory = lab.work().path("http-netfs");
  std::string cache = lab.work().path("cache-http-netfs");
  Client client{.name = name, .how = "netfs mount http://... --cache-dir ..."};
  for (const std::string& option : options) client.how += " " + option;
  client.command = {.argv = {lab.options().netfs_program, "mount", server.plain + task.remote,
                             directory, "--foreground", "--cache-dir", cache},
                    .log = lab.work().path("http-netfs.log")};
  client.command.argv.insert(client.command.argv.end(), options.begin(), options.end());
  Side side = side_of({lab, std::move(client), directory, cache, task.work});
  if (!task.said) return side;
  side.finish = [&lab, directory, said = task.said, finish = side.finish] {
    *said = what_it_fetched({lab.options().netfs_program, directory});
    finish();
  };
  return side;
}

}  // namespace

Side netfs_http_side(Lab& lab, const HttpServer& server, const HttpTask& task) {
  return netfs_side(lab, server, task, "netfs", {});
}

Side netfs_wide_http_side(Lab& lab, const HttpServer& server, HttpTask task) {
  task.said = nullptr;
  return netfs_side(lab, server, task, "netfs, 64 wide", {"-o", "connections=64"});
}

Side rclone_http_side(Lab& lab, const HttpServer& server, const HttpTask& task) {
  return rclone_side(lab, ":http:", "--http-url=" + server.plain, task);
}

Side rclone_webdav_side(Lab& lab, const HttpServer& server, const HttpTask& task) {
  return rclone_side(lab, ":webdav:", "--webdav-url=" + server.dav, task);
}

Side davfs_side(Lab& lab, const HttpServer& server, const HttpTask& task) {
  const std::string directory = lab.work().path("http-davfs");
  const std::string cache = lab.work().path("cache-http-davfs");
  const std::string settings = lab.work().path("davfs2.conf");
  Client client{.name = "davfs2",
                .how = line_of({"mount.davfs", "--version"}, "davfs2") +
                       ": mount.davfs -o ro, cache on the same disk"};
  client.command = {.argv = {"/bin/sh", "-c", kDavScript, "davfs2", cache, settings,
                             server.dav + task.remote, directory},
                    .log = lab.work().path("http-davfs.log")};
  Side side = side_of({lab, std::move(client), directory, cache, task.work,
                       [directory] { return davfs_pid(directory); }});
  side.prepare = [root = lab.work().root(), settings, cache,
                  prepare = side.prepare]() -> Result<void> {
    TRY(write_text(settings, kDavSettings + ("cache_dir " + cache + "\n")));
    // The daemon's user comes to its cache through the work directory.
    if (::chmod(root.c_str(), 0711) != 0 || ::chmod(settings.c_str(), 0600) != 0)
      return Error::from_errno("bench.davfs");
    return prepare();
  };
  return side;
}

Side curl_side(Lab& lab, const HttpServer& server, const FileSpec& source) {
  std::string copy = lab.work().path("curl-copy");
  Side side{.name = "curl", .how = line_of({"curl", "--version"}, "curl") + ": curl -s -o FILE"};
  side.prepare = [copy, source] {
    remove_tree(copy);
    return warm_file(source.path);
  };
  side.run = [copy, source, url = server.plain + source.path] {
    return run_jobs(1, [&](unsigned, Gate& gate) -> Result<uint64_t> {
      gate.wait();
      TRY(run({.argv = {"curl", "-s", "-f", "-o", copy, url}}, kCurlTimeout));
      return source.size_bytes;
    });
  };
  return side;
}

}  // namespace netfs::bench
