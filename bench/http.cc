// Cold sequential over plain HTTP from nginx, the cache being written: on loopback, through a proxy
// of 20 and 100 ms and 1 Gbit/s, and over a link of the same with the kernel's TCP at both ends.
// netfs, `curl -o FILE` to the same disk, rclone, davfs2.
//
// And a tree of 2,000 small files (4 to 64 KiB, 50 directories) through 20 ms: open+read+close of
// all, each directory listed and its files read in that order; of one in each directory; find -ls.
// The same by listings that have exact sizes and times: by the WebDAV that davfs2 reads by, with
// netfs and rclone as its clients, too; and in JSON, netfs alone, for no peer reads it.
//
// The server's file is in its page cache on all sides.

#include <algorithm>

#include "harness/delay_proxy.h"
#include "harness/far_link.h"
#include "harness/lab.h"
#include "harness/page_cache.h"
#include "harness/patterns.h"
#include "harness/server_script.h"
#include "http_clients.h"

namespace netfs::bench {
namespace {

constexpr uint64_t kBitsPerSecond = 1'000'000'000;
constexpr uint32_t kBlockBytes = 1 << 20;
// A peer that has used them up sits out the later rounds: some take a second a file.
constexpr double kPeerSecondsMax = 60;
constexpr const char* kNoDav = "davfs2 is not in it: nginx has no libnginx-mod-http-dav-ext here";
constexpr const char* kPort = "HTTP_NGINX_HTML_PORT";
constexpr const char* kDavPort = "HTTP_NGINX_DAV_PORT";
constexpr const char* kJsonPort = "HTTP_NGINX_JSON_PORT";

// The rows of a tree of small files, by one kind of listing.
struct SmallRows {
  const char* in_turn;
  const char* one_of_each;
  const char* find;
  const char* by;  // words for the reader
  bool peers;
};
constexpr SmallRows kByHtml = {"http/in-turn-20ms", "http/one-of-each-20ms", "http/find-cold-20ms",
                               "", true};
constexpr SmallRows kByJson = {"http/in-turn-json-20ms", "http/one-of-each-json-20ms",
                               "http/find-cold-json-20ms", ", listed in JSON", false};
constexpr SmallRows kByWebdav = {"http/in-turn-webdav-20ms", "http/one-of-each-webdav-20ms",
                                 "http/find-cold-webdav-20ms", ", listed by WebDAV", true};

struct Face {
  HttpServer server;
  const SmallRows& rows;
};

HttpTask whole_file(const FileSpec& source) {
  return {.remote = source.path.substr(0, source.path.rfind('/')),
          .work = [source](const Mount& mount) -> Result<Work> {
            FileSpec file = source;
            file.path = mount.path(source.path.substr(source.path.rfind('/') + 1));
            return read_sequential(file, kBlockBytes);
          }};
}

std::string url_of(const std::string& host, uint16_t port) {
  return port == 0 ? "" : "http://" + host + ":" + std::to_string(port);
}

// What the peers read: one that takes a second a MiB shall not take a quarter of an hour.
struct Sources {
  FileSpec full;
  FileSpec part;
};

void add_peers(Lab& lab, const HttpServer& server, const HttpTask& task, std::vector<Side>& sides) {
  if (!lab.options().peers) return;
  const bool by_webdav = server.plain == server.dav;
  sides.push_back(by_webdav ? rclone_webdav_side(lab, server, task)
                            : rclone_http_side(lab, server, task));
  if (!server.dav.empty()) sides.push_back(davfs_side(lab, server, task));
  for (Side& side : sides) {
    if (side.name == "rclone" || side.name == "davfs2") side.seconds_max = kPeerSecondsMax;
  }
}

struct Setting {
  std::string name, what, reach;
};

Result<void> sequential(Lab& lab, const Setting& setting, const HttpServer& server,
                        const Sources& sources) {
  if (!lab.options().wants(setting.name)) return {};
  TRY(warm_file(sources.full.path));
  TRY(warm_file(sources.part.path));
  std::vector<Side> sides;
  if (lab.options().netfs) sides.push_back(netfs_http_side(lab, server, whole_file(sources.full)));
  sides.push_back(curl_side(lab, server, sources.full));
  add_peers(lab, server, whole_file(sources.part), sides);
  RowResult row = run_row({.name = setting.name,
                           .what = setting.what,
                           .unit = "MB/s",
                           .scale = 1e6,
                           .reach = setting.reach},
                          std::move(sides), lab.options().pairs);
  if (lab.options().peers && server.dav.empty()) row.notes.push_back(kNoDav);
  lab.add(std::move(row));
  return {};
}

// Rows of a tree of small files, each by an empty cache: all in turn, one of each directory, names.
struct SmallTree {
  std::string source;
  std::vector<FileSpec> files;
  uint64_t names = 0;  // with the directories
};

Result<Work> find_in_ms(const std::string& directory, uint64_t names) {
  Work work = TRY(find_ls(directory, names));
  work.figure = work.seconds * 1000;
  return work;
}

Result<void> take_small(Lab& lab, const HttpServer& server, const SmallTree& tree, bool peers,
                        const RowSpec& spec, std::function<Result<Work>(const Mount&)> work) {
  if (!lab.options().wants(spec.name)) return {};
  const auto said = std::make_shared<std::string>();
  const HttpTask task{.remote = tree.source, .work = std::move(work), .said = said};
  std::vector<Side> sides;
  if (lab.options().netfs) sides.push_back(netfs_http_side(lab, server, task));
  if (lab.options().netfs) sides.push_back(netfs_wide_http_side(lab, server, task));
  if (peers) add_peers(lab, server, task, sides);
  if (sides.empty()) return {};
  RowResult row = run_row(spec, std::move(sides), lab.options().pairs);
  if (peers && lab.options().peers && server.dav.empty()) row.notes.push_back(kNoDav);
  if (!said->empty()) row.notes.push_back("netfs in the last run: " + *said);
  lab.add(std::move(row));
  return {};
}

Result<void> take_small_rows(Lab& lab, const HttpServer& server, const SmallTree& tree,
                             const SmallRows& rows) {
  const std::string by = rows.by;
  const std::string count = std::to_string(tree.files.size());
  TRY(take_small(
      lab, server, tree, rows.peers,
      {.name = rows.in_turn,
       .what = "open+read+close of " + count + " small files in turn over HTTP at 20 ms, cold" + by,
       .unit = "files/s",
       .reach = "1,000 files/s"},
      [files = tree.files](const Mount& mount) {
        return read_listed(mount.directory(), files, Which::kAll);
      }));
  TRY(take_small(lab, server, tree, rows.peers,
                 {.name = rows.one_of_each,
                  .what = "the same of one small file in each directory" + by,
                  .unit = "files/s",
                  .reach = "fetched under 2x what was asked"},
                 [files = tree.files](const Mount& mount) {
                   return read_listed(mount.directory(), files, Which::kFirstOfEach);
                 }));
  return take_small(
      lab, server, tree, rows.peers,
      {.name = rows.find,
       .what = "find -ls of their " + std::to_string(tree.names) +
               " names over HTTP at 20 ms, cold" + by,
       .unit = "ms",
       .reach = "ahead of every peer",
       .less_is_better = true},
      [names = tree.names](const Mount& mount) { return find_in_ms(mount.directory(), names); });
}

// Through each of the server's faces.
Result<void> small_files(Lab& lab, const std::vector<Face>& faces) {
  const bool wanted = std::any_of(faces.begin(), faces.end(), [&](const Face& face) {
    return lab.options().wants_any({face.rows.in_turn, face.rows.one_of_each, face.rows.find});
  });
  if (!wanted) return {};
  const TreeSpec spec{.seed = 18,
                      .count = lab.size(2'000, 400),
                      .per_directory = 40,
                      .min_bytes = 4 << 10,
                      .max_bytes = 64 << 10};
  const SmallTree tree{lab.work().path("source-http-files"), tree_files(spec),
                       spec.count + spec.count / spec.per_directory};
  TRY(make_tree(tree.source, spec));
  for (const Face& face : faces) TRY(take_small_rows(lab, face.server, tree, face.rows));
  return {};
}

Result<ServerScript> nginx(Lab& lab, const std::string& address) {
  return ServerScript::start(
      {.script = lab.options().http_script,
       .words = {"nginx"},
       .environment = {"HTTP_ROOT=" + lab.work().root(), "HTTP_ADDRESS=" + address}},
      kPort, lab.work());
}

Result<void> through_proxies(Lab& lab, const Sources& sources) {
  const std::string host = "127.0.0.1";
  const ServerScript server = TRY(nginx(lab, host));
  const uint16_t port = server.port(kPort);
  const uint16_t dav_port = server.port(kDavPort);
  TRY(sequential(lab,
                 {"http/sequential/loopback",
                  "cold sequential over HTTP, loopback, cache being written", "0.9 of curl"},
                 {url_of(host, port), url_of(host, dav_port)}, {sources.full, sources.full}));
  for (unsigned rtt_ms : {20U, 100U}) {
    const Link how{.rtt_ms = rtt_ms, .bits_per_second = kBitsPerSecond};
    const std::string& program = lab.options().proxy_program;
    DelayProxy proxy = TRY(DelayProxy::start(program, how, port, lab.work()));
    DelayProxy dav_proxy = TRY(DelayProxy::start(program, how, dav_port, lab.work()));
    const HttpServer far{url_of(host, proxy.port()),
                         dav_port == 0 ? "" : url_of(host, dav_proxy.port())};
    const std::string text = std::to_string(rtt_ms) + " ms";
    TRY(sequential(
        lab,
        {"http/sequential-" + std::to_string(rtt_ms) + "ms",
         "cold sequential over HTTP, " + text + " and 1 Gbit/s (125 MB/s)", "0.95 of the link"},
        far, sources));
    if (rtt_ms != 20) continue;
    DelayProxy json_proxy =
        TRY(DelayProxy::start(program, how, server.port(kJsonPort), lab.work()));
    std::vector<Face> faces = {{far, kByHtml}, {{url_of(host, json_proxy.port()), ""}, kByJson}};
    if (!far.dav.empty()) faces.push_back({{far.dav, far.dav}, kByWebdav});
    TRY(small_files(lab, faces));
  }
  return {};
}

// Over a link of its own each: a server that listens at its near end.
Result<void> over_links(Lab& lab, const Sources& sources) {
  for (unsigned rtt_ms : {20U, 100U}) {
    const std::string text = std::to_string(rtt_ms) + " ms";
    const Setting setting{"http/sequential-tcp-" + std::to_string(rtt_ms) + "ms",
                          "the same with TCP's own windows: " + text + " and 1 Gbit/s (125 MB/s)",
                          "0.95 of the link"};
    if (!lab.options().wants(setting.name)) continue;
    FarLink link =
        TRY(FarLink::start(lab.options().far_link_program,
                           {.rtt_ms = rtt_ms, .bits_per_second = kBitsPerSecond}, lab.work()));
    const ServerScript server = TRY(nginx(lab, link.near()));
    TRY(sequential(
        lab, setting,
        {url_of(link.far(), server.port(kPort)), url_of(link.far(), server.port(kDavPort))},
        sources));
  }
  return {};
}

Result<void> http(Lab& lab) {
  const Sources sources{TRY(lab.make_source("full", lab.size(1ULL << 30, 128ULL << 20))),
                        TRY(lab.make_source("part", lab.size(64ULL << 20, 16ULL << 20)))};
  TRY(through_proxies(lab, sources));
  return over_links(lab, sources);
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("http", argc, argv, netfs::bench::http);
}
