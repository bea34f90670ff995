#include <algorithm>
#include <filesystem>
#include <optional>
#include <poll.h>
#include <sys/stat.h>

#include "harness/cpu.h"
#include "harness/page_cache.h"
#include "harness/patterns.h"
#include "names_again.h"

namespace netfs::bench {
namespace {

constexpr double kMiB = 1 << 20;
constexpr const char* kRows[] = {"names/many-disk", "names/many-memory", "names/many-forgotten",
                                 "names/many-first", "names/many-first-memory"};

// Bytes of the disk, of all that lies under it.
Result<uint64_t> disk_bytes(const std::string& directory) {
  std::error_code error;
  uint64_t bytes = 0;
  for (std::filesystem::recursive_directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    struct stat info {};
    if (::lstat(at->path().c_str(), &info) == 0) bytes += uint64_t(info.st_blocks) * 512;
  }
  if (error) return Error(error.value(), "bench.disk_bytes", directory);
  return bytes;
}

struct Many {
  Lab& lab;
  Client client;
  std::string cache;
  uint64_t names = 0;
  std::string first_name;  // on the mount
  std::optional<Mount> mounted{};
  double mount_ms = 0;

  Result<void> mount() {
    mounted.reset();
    const double began = monotonic_seconds();
    mounted.emplace(TRY(lab.mount(client)));
    mount_ms = (monotonic_seconds() - began) * 1000;
    return {};
  }
  // All names, by a daemon that has none of them in memory.
  Result<void> walk() {
    TRY(mount());
    TRY(find_ls(mounted->directory(), names));
    return {};
  }
  Result<Work> stored() {
    TRY(mount());
    TRY(lab.await_stored(*mounted));
    const uint64_t before = TRY(disk_bytes(cache));
    TRY(find_ls(mounted->directory(), names));
    TRY(lab.await_stored(*mounted));
    mounted.reset();
    const uint64_t more = TRY(disk_bytes(cache)) - before;
    return Work{.figure = static_cast<double>(more) / static_cast<double>(names)};
  }
  Result<Work> memory() {
    const Memory used = memory_of(mounted->processes(), "netfs");
    return Work{.figure = static_cast<double>(used.rss_bytes) / kMiB};
  }
  // Once it falls no more: what the kernel forgets comes to the daemon a batch at a time.
  Result<Work> memory_left() {
    Work work = TRY(memory());
    for (int look = 0; look < 20; ++look) {
      (void)::poll(nullptr, 0, 500);
      const double before = work.figure;
      work = TRY(memory());
      if (work.figure > 0.99 * before) break;
    }
    return work;
  }
  Result<Work> first_answer() {
    TRY(mount());
    const double began = monotonic_seconds();
    struct stat info {};
    if (::lstat(mounted->path(first_name).c_str(), &info) != 0) {
      return Error::from_errno("bench.first_answer");
    }
    return Work{.figure = (monotonic_seconds() - began) * 1000};
  }
};

struct Row {
  std::string name, what, unit, reach;
  std::function<Result<void>()> prepare;
  std::function<Result<Work>()> run;
};

}  // namespace

Result<void> names_many(Lab& lab) {
  const Options& options = lab.options();
  // All or none: each stands on what the first one has left.
  const bool wanted = std::any_of(std::begin(kRows), std::end(kRows),
                                  [&](const char* row) { return options.wants(row); });
  if (!wanted || !options.netfs) return {};
  constexpr size_t kPerDirectory = 1000;
  const uint64_t count = options.count != 0 ? options.count : lab.size(100'000, 10'000);
  const TreeSpec tree{.seed = 8, .count = count, .per_directory = kPerDirectory};
  const std::string source = lab.work().path("source-many");
  TRY(make_tree(source, tree));
  Client client = file_client(lab, source, "many", {"--metadata-ttl=1h"});
  auto state = std::make_shared<Many>(Many{.lab = lab,
                                           .client = client,
                                           .cache = lab.work().path("cache-many"),
                                           .names = count,
                                           .first_name = tree_files(tree).back().path});
  const Row rows[] = {
      {kRows[0], "bytes of the cache a name", "bytes", "300 bytes",
       [state]() -> Result<void> {
         state->mounted.reset();
         state->lab.remove_cache("many");
         return {};
       },
       [state] { return state->stored(); }},
      {kRows[1], "resident memory of a daemon that has shown all of them from the cache", "MiB",
       "100 MB", [state] { return state->walk(); }, [state] { return state->memory(); }},
      {kRows[2], "the same once the kernel has forgotten them", "MiB", "100 MB",
       [] { return forget(Forget::kPagesAndNames); }, [state] { return state->memory_left(); }},
      {kRows[3], "from mounted to the first stat by a new daemon, its cache not in memory", "ms",
       "100 ms",
       [state]() -> Result<void> {
         state->mounted.reset();
         return forget(Forget::kPagesAndNames);
       },
       [state] { return state->first_answer(); }},
      {kRows[4], "resident memory of that daemon after its first answer", "MiB", "100 MB",
       []() -> Result<void> { return {}; }, [state] { return state->memory(); }},
  };
  for (const Row& row : rows) {
    Side side{.name = client.name, .how = client.how};
    side.prepare = row.prepare;
    side.run = row.run;
    RowResult result = run_row({.name = row.name,
                                .what = std::to_string(count) + " names: " + row.what,
                                .unit = row.unit,
                                .reach = row.reach,
                                .less_is_better = true},
                               {std::move(side)}, 1);
    if (row.name == kRows[1] && state->mounted) {
      const Result<nlohmann::json> status = lab.status(*state->mounted);
      if (status.ok()) {
        result.notes.push_back("netfs says of its names: " +
                               status.value()["mounts"][0]["names"].dump());
      }
    }
    if (row.name == kRows[3]) {
      result.notes.push_back(
          "before that, until it was mounted: " + std::to_string(state->mount_ms) + " ms");
    }
    lab.add(std::move(result));
  }
  return {};
}

}  // namespace netfs::bench
