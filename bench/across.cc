// open+read+close of 2,000 small files (4 to 64 KiB, 50 directories), 20 ms and 1 Gbit/s away, that
// nobody has read: each directory is listed and its files read in that order.
//
// And the first file of each directory only: what is fetched, over what was asked.  Every run
// mounts anew with an empty cache; mount and connections stand before the clock starts.

#include <algorithm>
#include <optional>

#include "harness/delay_proxy.h"
#include "harness/lab.h"
#include "harness/mount_status.h"
#include "harness/patterns.h"

namespace netfs::bench {
namespace {

struct FarTree {
  SftpAccess access;
  std::string root;
  std::vector<FileSpec> files;
};

struct FarMount {
  Lab& lab;
  Client client;
  std::string cache;
  const FarTree& tree;
  Which which;
  std::optional<Mount> mounted{};
  std::string fetched{};  // by netfs: what it says of the last run

  Result<void> prepare() {
    lab.remove_cache(cache);
    mounted.emplace(TRY(lab.mount(client)));
    if (client.name == "netfs") return lab.await_connected(*mounted);
    return {};
  }
  Result<Work> run() { return read_listed(mounted->directory(), tree.files, which); }
  void finish() {
    if (client.name == "netfs") {
      fetched = what_it_fetched({lab.options().netfs_program, mounted->directory()});
    }
    mounted.reset();
  }
};

struct FarSide {
  Side side;
  std::shared_ptr<FarMount> state;
};

Result<FarSide> side_of(Lab& lab, Peer peer, const FarTree& tree, Which which) {
  std::string cache = "across-" + std::to_string(static_cast<int>(peer));
  Client client = TRY(lab.client_at(tree.access, peer, tree.root, cache));
  Side side{.name = client.name, .how = client.how};
  auto state = std::make_shared<FarMount>(FarMount{lab, std::move(client), cache, tree, which});
  side.prepare = [state] { return state->prepare(); };
  side.run = [state] { return state->run(); };
  side.finish = [state] { state->finish(); };
  side.processes = [state] { return state->mounted->processes(); };
  if (peer != Peer::kNetfs) side.rounds_max = 1;
  return FarSide{std::move(side), std::move(state)};
}

Result<void> take(Lab& lab, const FarTree& tree, const RowSpec& spec, Which which) {
  if (!lab.options().wants(spec.name)) return {};
  std::vector<Side> sides;
  std::shared_ptr<FarMount> netfs;
  if (lab.options().netfs) {
    FarSide one = TRY(side_of(lab, Peer::kNetfs, tree, which));
    sides.push_back(std::move(one.side));
    netfs = std::move(one.state);
  }
  if (lab.options().peers) {
    for (Peer peer : {Peer::kSshfs, Peer::kRclone}) {
      sides.push_back(TRY(side_of(lab, peer, tree, which)).side);
    }
  }
  RowResult row = run_row(spec, std::move(sides), lab.options().pairs);
  uint64_t asked = 0;
  for (const FileSpec& file : tree.files) asked += file.size_bytes;
  if (netfs && !netfs->fetched.empty()) {
    row.notes.push_back("netfs in the last run: " + netfs->fetched + "; all files together are " +
                        std::to_string(asked));
  }
  lab.add(std::move(row));
  return {};
}

Result<void> across(Lab& lab) {
  TreeSpec spec{.seed = 17,
                .count = lab.size(2'000, 400),
                .per_directory = 40,
                .min_bytes = 4 << 10,
                .max_bytes = 64 << 10};
  std::string source = lab.work().path("source-across");
  TRY(make_tree(source, spec));
  SftpAccess access = TRY(lab.server());
  Link how{.rtt_ms = 20, .bits_per_second = 1'000'000'000};
  DelayProxy proxy =
      TRY(DelayProxy::start(lab.options().proxy_program, how, access.port, lab.work()));
  FarTree tree{TRY(access_through(proxy, access, lab.work())), source, tree_files(spec)};
  TRY(take(lab, tree,
           {.name = "across/in-turn-20ms",
            .what = "open+read+close of " + std::to_string(spec.count) +
                    " small files in turn at 20 ms, cold",
            .unit = "files/s",
            .reach = "1,000 files/s"},
           Which::kAll));
  return take(lab, tree,
              {.name = "across/one-of-each-20ms",
               .what = "open+read+close of one small file in each directory at 20 ms, cold",
               .unit = "files/s",
               .reach = "fetched under 2x what was asked"},
              Which::kFirstOfEach);
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("across", argc, argv, netfs::bench::across);
}
