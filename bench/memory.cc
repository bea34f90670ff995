// The daemon's memory after everything the other rows do, on one mount: a large file cold, random
// and sealed, a file read in part, 10,000 small files, 100,000 names.

#include <cstdio>

#include "harness/cpu.h"
#include "harness/lab.h"
#include "harness/patterns.h"

namespace netfs::bench {
namespace {

constexpr double kMiB = 1 << 20;

struct Trees {
  std::string root;
  FileSpec large;
  FileSpec part;
  std::vector<FileSpec> small;
  std::vector<FileSpec> names;
};

Result<Trees> make_trees(Lab& lab) {
  Trees trees;
  trees.large = TRY(lab.make_source("large", lab.size(1ULL << 30, 64ULL << 20)));
  trees.part = TRY(lab.make_source("part", lab.size(1ULL << 30, 64ULL << 20)));
  trees.root = lab.work().path("source");
  TreeSpec small{
      .seed = 1000, .count = lab.size(10'000, 1'000), .min_bytes = 4 << 10, .max_bytes = 64 << 10};
  TreeSpec names{.seed = 5, .count = lab.size(100'000, 10'000), .per_directory = 1000};
  TRY(make_tree(trees.root + "/small", small));
  TRY(make_tree(trees.root + "/names", names));
  trees.small = tree_files(small);
  trees.names = tree_files(names);
  return trees;
}

FileSpec on(const Mount& mount, const FileSpec& file) {
  return {mount.path(file.path.substr(file.path.rfind('/') + 1)), file.seed, file.size_bytes};
}

Result<void> use_everything(Lab& lab, const Mount& mount, const Trees& trees) {
  FileSpec large = on(mount, trees.large);
  FileSpec part = on(mount, trees.part);
  TRY(read_sequential(large, 1 << 20));
  for (unsigned jobs : {1U, 4U}) {
    uint64_t count = lab.size(50'000, 2'000);
    TRY(read_random(large, {.jobs = jobs, .count = count}));
    TRY(read_random(
        part,
        {.jobs = jobs, .count = count / 10, .direct = true, .limit_bytes = part.size_bytes / 2}));
    TRY(read_files(mount.path("small"), trees.small, jobs));
    TRY(stat_files(mount.path("names"), trees.names, jobs));
  }
  TRY(touch_mapping(large, lab.size(50'000, 2'000)));
  TRY(find_ls(mount.path("names"), trees.names.size()));
  return {};
}

Result<void> memory(Lab& lab) {
  if (!lab.options().netfs) return {};
  Trees trees = TRY(make_trees(lab));
  Client client = TRY(lab.client(Peer::kNetfs, trees.root, "memory"));
  Mount mount = TRY(lab.mount(client));
  Memory most;
  Side side{.name = client.name, .how = client.how};
  side.run = [&]() -> Result<Work> {
    TRY(use_everything(lab, mount, trees));
    most = memory_of(mount.processes(), "netfs");
    return Work{.figure = static_cast<double>(most.rss_bytes) / kMiB};
  };
  side.processes = [&] { return mount.processes(); };
  // It does not shrink by being used again: three rounds show whether it grows.
  RowResult row = run_row({.name = "memory/rss",
                           .what = "resident memory of the daemon after all of the above",
                           .unit = "MiB",
                           .reach = "under 200 MiB",
                           .less_is_better = true},
                          {side}, 3);
  Memory everything = memory_of(mount.processes(), "");
  char note[200];
  std::snprintf(note, sizeof note,
                "of it %.1f MiB anonymous at the end; with the ssh processes %.1f MiB resident",
                static_cast<double>(most.anonymous_bytes) / kMiB,
                static_cast<double>(everything.rss_bytes) / kMiB);
  row.notes.emplace_back(note);
  lab.add(std::move(row));
  return {};
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("memory", argc, argv, netfs::bench::memory);
}
