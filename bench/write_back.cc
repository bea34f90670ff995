// Writing on the local disk first (--write=back), beside the same work on the disk itself: one
// large file, many small ones with a server 20 ms away, transactions of SQLite; and how many bytes
// go out where few of a large file were changed.
//
// What was written comes to the server after each run, untimed; but for the many small files, of
// which thousands would take minutes through 20 ms: those are dropped with the cache they wait in.

#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <optional>
#include <unistd.h>

#include "base/unique_fd.h"
#include "desk.h"
#include "harness/delay_proxy.h"
#include "harness/lab.h"
#include "harness/mount_status.h"
#include "harness/patterns.h"
#include "sqlite.h"

namespace netfs::bench {
namespace {

constexpr uint32_t kBlockBytes = 1 << 20;
constexpr uint32_t kPageBytes = 4096;
constexpr uint64_t kBitsPerSecond = 1'000'000'000;

struct Row {
  std::string name;
  std::string what;
  std::string unit;
  double scale = 1;
  std::string reach;
  bool dropped = false;  // what was written is not waited for
};

Result<void> beside_native(Lab& lab, const SftpAccess& access, const Row& row,
                           const Writing& writing) {
  if (!lab.options().wants("write/back/" + row.name)) return {};
  std::vector<Side> sides;
  if (lab.options().netfs) {
    const Desk desk{.name = row.name, .access = access, .use = Use::kBack, .dropped = row.dropped};
    sides.push_back(TRY(desk_side(lab, desk, writing)));
  }
  sides.push_back(TRY(native_side(lab, row.name, writing)));
  lab.add(run_row({.name = "write/back/" + row.name,
                   .what = row.what,
                   .unit = row.unit,
                   .scale = row.scale,
                   .reach = row.reach},
                  std::move(sides), lab.options().pairs));
  return {};
}

std::vector<FileSpec> small_files(uint64_t count) {
  std::vector<FileSpec> files;
  for (uint64_t i = 0; i < count; ++i) {
    files.push_back({std::to_string(i), i, 4096 + mix(i) % 61440 / 8 * 8});
  }
  return files;
}

// Pages of a large file, none twice; units: pages.
Result<Work> overwrite_pages(const std::string& path, uint64_t size_bytes, uint64_t count) {
  return run_jobs(1, [&](unsigned, Gate& gate) -> Result<uint64_t> {
    std::vector<std::byte> page(kPageBytes);
    fill_content(page, 7, 0);
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return Error::from_errno("bench.open");
    const uint64_t pages = size_bytes / kPageBytes;
    const uint64_t distance = pages / count;
    gate.wait();
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t at = i * distance + mix(i) % distance;
      const auto offset = static_cast<off_t>(at * kPageBytes);
      if (::pwrite(fd.get(), page.data(), page.size(), offset) != ssize_t{kPageBytes}) {
        return Error::from_errno("bench.pwrite");
      }
    }
    if (::fsync(fd.get()) != 0) return Error::from_errno("bench.fsync");
    return count;
  });
}

Result<void> uploaded(Lab& lab, const SftpAccess& access, Use use) {
  const std::string way = use == Use::kBack ? "back" : "close";
  if (!lab.options().netfs || !lab.options().wants("write/overwritten/" + way)) return {};
  const uint64_t size = lab.size(1ULL << 30, 64ULL << 20);
  const uint64_t count = lab.size(20'000, 1000);
  const std::string served = TRY(lab.work().directory("served-overwritten-" + way));
  TRY(make_file({served + "/f", 1, size}));
  Client client = TRY(lab.client_at(access, Peer::kNetfs, served, "overwritten-" + way, {}, use));
  Side side{.name = client.name, .how = client.how};
  auto mounted = std::make_shared<std::optional<Mount>>();
  side.prepare = [&lab, mounted, client]() -> Result<void> {
    mounted->emplace(TRY(lab.mount(client)));
    return lab.await_connected(**mounted);
  };
  side.run = [&lab, mounted, size, count]() -> Result<Work> {
    Work work = TRY(overwrite_pages((*mounted)->path("f"), size, count));
    TRY(lab.await_uploaded(**mounted));
    const nlohmann::json status = TRY(lab.status(**mounted));
    const auto sent = status["mounts"][0]["bytes"]["uploaded_bytes"].get<double>();
    work.figure = sent / static_cast<double>(count * kPageBytes);
    return work;
  };
  side.finish = [mounted] { mounted->reset(); };
  std::vector<Side> sides;
  sides.push_back(std::move(side));
  lab.add(run_row({.name = "write/overwritten/" + way,
                   .what = "4 KiB pages of a large file overwritten at random places, fsync, "
                           "--write=" +
                           way + ": bytes uploaded",
                   .unit = "of those changed",
                   .reach = "at most 1.1",
                   .less_is_better = true},
                  std::move(sides), lab.options().pairs));
  return {};
}

Result<void> write_back(Lab& lab) {
  const SftpAccess access = TRY(lab.server());
  const uint64_t size = lab.size(1ULL << 30, 64ULL << 20);
  TRY(beside_native(
      lab, access,
      {.name = "sequential",
       .what = "sequential write of one file, fsync and close, the server on loopback",
       .unit = "MB/s",
       .scale = 1e6,
       .reach = "0.9 of native"},
      [size](const std::string& root, const Ending& ending) {
        return write_sequential({root + "/large", 1, size}, kBlockBytes, ending);
      }));
  for (const std::string mode : {"DELETE", "WAL"}) {
    const uint64_t count = lab.size(1000, 50);
    TRY(beside_native(lab, access,
                      {.name = "sqlite-" + mode,
                       .what = "SQLite, one durable transaction an insert, journal_mode=" + mode,
                       .unit = "transactions/s",
                       .reach = "beside native"},
                      [mode, count](const std::string& root, const Ending&) {
                        return transactions(root + "/db", mode, count);
                      }));
  }
  TRY(uploaded(lab, access, Use::kWriting));
  TRY(uploaded(lab, access, Use::kBack));
  if (!lab.options().wants("write/back/small-20ms")) return {};
  const Link link{.rtt_ms = 20, .bits_per_second = kBitsPerSecond};
  DelayProxy proxy =
      TRY(DelayProxy::start(lab.options().proxy_program, link, access.port, lab.work()));
  const SftpAccess far = TRY(access_through(proxy, access, lab.work()));
  const std::vector<FileSpec> files = small_files(lab.size(5000, 50));
  return beside_native(
      lab, far,
      {.name = "small-20ms",
       .what = "create+write+close of files of 4 to 64 KiB, 1 process, the server 20 ms away",
       .unit = "files/s",
       .reach = "0.5 of native",
       .dropped = true},
      [files](const std::string& root, const Ending& ending) {
        return write_files(root, files, 1, ending);
      });
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("write_back", argc, argv, netfs::bench::write_back);
}
