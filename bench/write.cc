// Writing over SFTP, until the server has every byte: one large file beside sftp put, sshfs and
// rclone; many small ones, on loopback and at 20 ms; and transactions of SQLite beside a local
// disk.
//
// netfs has handed over what it has when fsync or close return (--write=close), as has sshfs;
// rclone uploads after the close and answers before: its clock goes on until all of it is at the
// server.

#include "desk.h"
#include "harness/delay_proxy.h"
#include "harness/patterns.h"
#include "sqlite.h"

namespace netfs::bench {
namespace {

constexpr uint32_t kBlockBytes = 1 << 20;
constexpr uint64_t kBitsPerSecond = 1'000'000'000;

Result<void> large(Lab& lab) {
  FileSpec source = TRY(lab.make_source("large", lab.size(1ULL << 30, 64ULL << 20)));
  SftpAccess access = TRY(lab.server());
  const Writing writing = [source](const std::string& root, const Ending& ending) {
    FileSpec file = source;
    file.path = root + "/large";
    return write_sequential(file, kBlockBytes, ending);
  };
  const Desk desk{.name = "large", .access = access, .bytes = source.size_bytes};
  std::vector<Side> sides = TRY(desk_sides(lab, desk, writing));
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
  const Writing writing = [files](const std::string& root, const Ending& ending) {
    return write_files(root, files, 1, ending);
  };
  const Desk desk{.name = name, .access = access, .bytes = bytes};
  std::vector<Side> sides = TRY(desk_sides(lab, desk, writing));
  lab.add(run_row({.name = "write/small/" + name,
                   .what = what,
                   .unit = "files/s",
                   .reach = "ahead of every peer"},
                  std::move(sides), lab.options().pairs));
  return {};
}

// Each sync of SQLite's goes to the server's disk and back.
Result<void> sqlite(Lab& lab, const SftpAccess& access, const std::string& mode) {
  const uint64_t count = lab.size(300, 30);
  const Writing writing = [mode, count](const std::string& root, const Ending&) {
    return transactions(root + "/db", mode, count);
  };
  std::vector<Side> sides;
  if (lab.options().netfs) {
    sides.push_back(
        TRY(desk_side(lab, {.name = "sqlite-close-" + mode, .access = access}, writing)));
  }
  sides.push_back(TRY(native_side(lab, "sqlite-close-" + mode, writing)));
  lab.add(run_row({.name = "write/sqlite-" + mode,
                   .what = "SQLite over SFTP on loopback, one durable transaction an insert, "
                           "--write=close, journal_mode=" +
                           mode,
                   .unit = "transactions/s",
                   .reach = "beside native"},
                  std::move(sides), lab.options().pairs));
  return {};
}

Result<void> write(Lab& lab) {
  const Options& options = lab.options();
  if (options.wants("write/sequential/loopback")) TRY(large(lab));
  const SftpAccess access = TRY(lab.server());
  for (const std::string mode : {"DELETE", "WAL"}) {
    if (options.wants("write/sqlite-" + mode)) TRY(sqlite(lab, access, mode));
  }
  if (options.wants("write/small/loopback")) {
    TRY(small(lab, access, "loopback", "create+write+close of files of 4 to 64 KiB, 1 process",
              lab.size(2000, 100)));
  }
  if (!options.wants("write/small/20ms")) return {};
  const Link link{.rtt_ms = 20, .bits_per_second = kBitsPerSecond};
  DelayProxy proxy = TRY(DelayProxy::start(options.proxy_program, link, access.port, lab.work()));
  const SftpAccess far = TRY(access_through(proxy, access, lab.work()));
  return small(lab, far, "20ms", "the same at 20 ms and 1 Gbit/s", lab.size(100, 20));
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("write", argc, argv, netfs::bench::write);
}
