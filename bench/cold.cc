// Cold sequential over SFTP on loopback, the cache being written: netfs, sftp get, sshfs, rclone.
//
// Every run mounts anew with an empty cache; the mount and its connection stand before the clock
// starts, as does sftp's.  The server's file is in its page cache on all sides, and the disk that
// is written to (netfs and rclone: the cache, sftp: the copy) is the same.

#include <optional>

#include "harness/lab.h"
#include "harness/page_cache.h"
#include "harness/patterns.h"

namespace netfs::bench {
namespace {

constexpr uint32_t kBlockBytes = 1 << 20;

struct ColdMount {
  Lab& lab;
  Client client;
  std::string cache;
  FileSpec source;
  std::optional<Mount> mounted{};

  Result<void> prepare() {
    lab.remove_cache(cache);
    TRY(warm_file(source.path));
    mounted.emplace(TRY(lab.mount(client)));
    if (client.name == "netfs") return lab.await_connected(*mounted);
    return {};
  }
  Result<Work> run() {
    FileSpec file = source;
    file.path = mounted->path(source.path.substr(source.path.rfind('/') + 1));
    return read_sequential(file, kBlockBytes);
  }
};

Result<Side> mount_side(Lab& lab, Peer peer, const FileSpec& source) {
  std::string directory = source.path.substr(0, source.path.rfind('/'));
  std::string cache = std::to_string(static_cast<int>(peer));
  Client client = TRY(lab.client(peer, directory, cache));
  std::string name = client.name;
  std::string how = client.how;
  auto state = std::make_shared<ColdMount>(ColdMount{lab, std::move(client), cache, source});
  return Side{.name = name,
              .how = how,
              .prepare = [state] { return state->prepare(); },
              .run = [state] { return state->run(); },
              .finish = [state] { state->mounted.reset(); },
              .processes = [state] { return state->mounted->processes(); }};
}

Result<void> cold(Lab& lab) {
  FileSpec source = TRY(lab.make_source("cold", lab.size(1ULL << 30, 128ULL << 20)));
  SftpAccess access = TRY(lab.server());
  std::vector<Side> sides;
  if (lab.options().netfs) sides.push_back(TRY(mount_side(lab, Peer::kNetfs, source)));
  std::string copy = lab.work().path("sftp-get");
  sides.push_back({.name = "sftp get",
                   .how = sftp_get_how(),
                   .prepare =
                       [&] {
                         remove_tree(copy);
                         return warm_file(source.path);
                       },
                   .run = [&] { return sftp_get(access, source.path, copy, source.size_bytes); }});
  if (lab.options().peers) {
    sides.push_back(TRY(mount_side(lab, Peer::kSshfs, source)));
    sides.push_back(TRY(mount_side(lab, Peer::kRclone, source)));
    sides.back().rounds_max = 3;  // Ten seconds a run: enough to see the distance.
  }
  lab.add(run_row({.name = "cold/sequential/loopback",
                   .what = "cold sequential over SFTP, loopback, cache being written",
                   .unit = "MB/s",
                   .scale = 1e6,
                   .reach = "0.9 of sftp get, 3 of sshfs"},
                  std::move(sides), lab.options().pairs));
  return {};
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("cold", argc, argv, netfs::bench::cold);
}
