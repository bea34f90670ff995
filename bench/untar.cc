// An archive of small files unpacked by tar, the server 20 ms away: on the local disk first
// (--write=back) beside the same on that disk; and by close, beside sshfs and rclone.
//
// 50,000 files by back.  By close a file takes some round trips, one behind the other, so that all
// of them would take an hour a round: there it is 500, and --count 50000 says otherwise.  Which
// directory a file is in, and how many there are, makes no difference to what one costs.

#include "desk.h"
#include "harness/delay_proxy.h"
#include "harness/patterns.h"

namespace netfs::bench {
namespace {

constexpr unsigned kRttMs = 20;
constexpr uint64_t kBitsPerSecond = 1'000'000'000;
constexpr std::chrono::minutes kTarTimeout{10};

struct Archive {
  std::string path;
  uint64_t files = 0;
  uint64_t bytes = 0;
};

Result<Archive> make_archive(Lab& lab, uint64_t files) {
  const TreeSpec tree{.seed = 5, .count = files, .max_bytes = 8192};
  const std::string name = "archive-" + std::to_string(files);
  const std::string folder = TRY(lab.work().directory(name));
  TRY(make_tree(folder, tree));
  Archive archive{.path = folder + ".tar", .files = files};
  for (const FileSpec& file : tree_files(tree)) archive.bytes += file.size_bytes;
  TRY(run({.argv = {"tar", "-cf", archive.path, "-C", folder, "."}}, kTarTimeout));
  remove_tree(folder);
  return archive;
}

Writing unpacking(const Archive& archive) {
  return [archive](const std::string& root, const Ending& ending) {
    return unpack(archive.path, root, archive.files, ending);
  };
}

// What one of so many that came one behind the other took of the link, by the clock.
void note_trips(RowResult& row, uint64_t files) {
  for (const SideResult& side : row.sides) {
    if (side.median == 0) continue;
    char text[160];
    std::snprintf(text, sizeof text, "%s: %.1f round trips a file, by the clock (%llu files)",
                  side.name.c_str(), 1000.0 / kRttMs / side.median,
                  static_cast<unsigned long long>(files));
    row.notes.emplace_back(text);
  }
}

Result<void> by_close(Lab& lab, const SftpAccess& far) {
  const uint64_t count = lab.options().count > 0 ? lab.options().count : lab.size(500, 20);
  const Archive archive = TRY(make_archive(lab, count));
  const Desk desk{.name = "untar-close", .access = far, .bytes = archive.bytes};
  RowResult row = run_row({.name = "untar/close",
                           .what = "untar of " + std::to_string(count) +
                                   " files of up to 8 KiB at 20 ms, until all are at the server",
                           .unit = "files/s",
                           .reach = "ahead of every peer"},
                          TRY(desk_sides(lab, desk, unpacking(archive))), lab.options().pairs);
  note_trips(row, count);
  lab.add(std::move(row));
  return {};
}

Result<void> by_back(Lab& lab, const SftpAccess& far) {
  const uint64_t count = lab.options().count > 0 ? lab.options().count : lab.size(50'000, 200);
  const Archive archive = TRY(make_archive(lab, count));
  std::vector<Side> sides;
  if (lab.options().netfs) {
    const Desk desk{.name = "untar-back", .access = far, .use = Use::kBack, .dropped = true};
    sides.push_back(TRY(desk_side(lab, desk, unpacking(archive))));
  }
  sides.push_back(TRY(native_side(lab, "untar-back", unpacking(archive))));
  lab.add(run_row({.name = "untar/back",
                   .what = "untar of " + std::to_string(count) +
                           " files of up to 8 KiB, the server 20 ms away, --write=back",
                   .unit = "files/s",
                   .reach = "0.5 of native"},
                  std::move(sides), lab.options().pairs));
  return {};
}

Result<void> untar(Lab& lab) {
  const SftpAccess access = TRY(lab.server());
  const Link link{.rtt_ms = kRttMs, .bits_per_second = kBitsPerSecond};
  DelayProxy proxy =
      TRY(DelayProxy::start(lab.options().proxy_program, link, access.port, lab.work()));
  const SftpAccess far = TRY(access_through(proxy, access, lab.work()));
  if (lab.options().wants("untar/back")) TRY(by_back(lab, far));
  if (lab.options().wants("untar/close")) TRY(by_close(lab, far));
  return {};
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("untar", argc, argv, netfs::bench::untar);
}
