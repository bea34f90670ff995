// Writing over SFTP, each write at the server when it returns: one large file beside sftp put and
// sshfs; many small ones, on loopback and at 20 ms.
//
// What is at the server after each run must have the size of what was written.  sshfs hands over
// what it has at close; netfs when a write returns.  rclone uploads after the close and answers
// before, so it has no place in these rows.

#include <filesystem>
#include <optional>

#include "harness/delay_proxy.h"
#include "harness/lab.h"
#include "harness/patterns.h"

namespace netfs::bench {
namespace {

constexpr uint32_t kBlockBytes = 1 << 20;
constexpr uint64_t kBitsPerSecond = 1'000'000'000;

using Writing = std::function<Result<Work>(const std::string& root)>;

// A client that is mounted for each run on an empty tree.
struct Desk {
  Lab& lab;
  Client client;
  std::string served;  // at the server
  Writing writing;
  std::optional<Mount> mounted{};

  Result<void> prepare() {
    remove_tree(served);
    std::filesystem::create_directory(served);
    mounted.emplace(TRY(lab.mount(client)));
    if (client.name == "netfs") return lab.await_connected(*mounted);
    return {};
  }
};

Result<void> check_size(const std::string& served, uint64_t bytes) {
  uint64_t there = 0;
  for (const auto& entry : std::filesystem::directory_iterator(served)) there += entry.file_size();
  if (there != bytes) return Error(EBADMSG, "bench.write", "the server has another size");
  return {};
}

Result<Side> desk_side(Lab& lab, Peer peer, const SftpAccess& access, const std::string& name,
                       Writing writing, uint64_t bytes) {
  const std::string id = name + std::to_string(static_cast<int>(peer));
  const std::string served = TRY(lab.work().directory("desk-" + id));
  Client client = TRY(lab.client_at(access, peer, served, id, {}, Use::kWriting));
  Side side{.name = client.name, .how = client.how};
  auto state = std::make_shared<Desk>(Desk{lab, std::move(client), served, std::move(writing)});
  side.prepare = [state] { return state->prepare(); };
  side.run = [state, bytes]() -> Result<Work> {
    Work work = TRY(state->writing(state->mounted->directory()));
    TRY(check_size(state->served, bytes));
    return work;
  };
  side.finish = [state] { state->mounted.reset(); };
  side.processes = [state] { return state->mounted->processes(); };
  return side;
}

Result<std::vector<Side>> desk_sides(Lab& lab, const SftpAccess& access, const std::string& name,
                                     const Writing& writing, uint64_t bytes) {
  std::vector<Side> sides;
  if (lab.options().netfs) {
    sides.push_back(TRY(desk_side(lab, Peer::kNetfs, access, name, writing, bytes)));
  }
  if (lab.options().peers) {
    sides.push_back(TRY(desk_side(lab, Peer::kSshfs, access, name, writing, bytes)));
  }
  return sides;
}

Result<void> large(Lab& lab) {
  FileSpec source = TRY(lab.make_source("large", lab.size(1ULL << 30, 64ULL << 20)));
  SftpAccess access = TRY(lab.server());
  const Writing writing = [source](const std::string& root) {
    FileSpec file = source;
    file.path = root + "/large";
    return write_sequential(file, kBlockBytes);
  };
  std::vector<Side> sides = TRY(desk_sides(lab, access, "large", writing, source.size_bytes));
  const std::string copy = TRY(lab.work().directory("sftp-put")) + "/large";
  sides.push_back({.name = "sftp put",
                   .how = sftp_put_how(),
                   .prepare = [copy]() -> Result<void> {
                     remove_tree(copy);
                     return {};
                   },
                   .run = [=] { return sftp_put(access, source.path, copy, source.size_bytes); }});
  lab.add(run_row({.name = "write/sequential/loopback",
                   .what = "sequential write of one file over SFTP, fsync and close",
                   .unit = "MB/s",
                   .scale = 1e6,
                   .reach = "0.9 of sftp put"},
                  std::move(sides), lab.options().pairs));
  return {};
}

Result<void> small(Lab& lab, const SftpAccess& access, const std::string& name,
                   const std::string& what, uint64_t count) {
  std::vector<FileSpec> files;
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < count; ++i) {
    files.push_back({std::to_string(i), i, 4096 + mix(i) % 61440 / 8 * 8});
    bytes += files.back().size_bytes;
  }
  const Writing writing = [files](const std::string& root) { return write_files(root, files, 1); };
  std::vector<Side> sides = TRY(desk_sides(lab, access, name, writing, bytes));
  lab.add(run_row({.name = "write/small/" + name,
                   .what = what,
                   .unit = "files/s",
                   .reach = "ahead of every peer"},
                  std::move(sides), lab.options().pairs));
  return {};
}

Result<void> write(Lab& lab) {
  TRY(large(lab));
  SftpAccess access = TRY(lab.server());
  TRY(small(lab, access, "loopback", "create+write+close of files of 4 to 64 KiB, 1 process",
            lab.size(2000, 100)));
  const Link link{.rtt_ms = 20, .bits_per_second = kBitsPerSecond};
  DelayProxy proxy =
      TRY(DelayProxy::start(lab.options().proxy_program, link, access.port, lab.work()));
  SftpAccess far = TRY(access_through(proxy, access, lab.work()));
  return small(lab, far, "20ms", "the same at 20 ms and 1 Gbit/s", lab.size(100, 20));
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("write", argc, argv, netfs::bench::write);
}
