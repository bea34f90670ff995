// stat and find -ls of 100,000 known names against a native tree of the same names: warm, and after
// dentries and inodes are dropped (echo 2).  The names are known: a find has seen them all.
//
// And find -ls of names that nobody knows, 20 ms away: in round trips of waiting.  Every run mounts
// anew with an empty cache; mount and connections stand before the clock starts.

#include <optional>

#include "harness/delay_proxy.h"
#include "harness/lab.h"
#include "harness/page_cache.h"
#include "harness/patterns.h"
#include "names_again.h"

namespace netfs::bench {
namespace {

struct Place {
  std::string name;
  std::string how;
  std::string root;
  std::shared_ptr<Mount> mount;  // null: native
};

using Walk = std::function<Result<Work>(const std::string& root)>;

Side side_of(const Place& place, const Walk& walk, bool drop) {
  Side side{.name = place.name, .how = place.how};
  side.prepare = [&walk, drop, root = place.root]() -> Result<void> {
    if (drop) return forget(Forget::kNames);
    TRY(walk(root));
    return {};
  };
  side.run = [&walk, root = place.root] { return walk(root); };
  if (place.mount) side.processes = [mount = place.mount] { return mount->processes(); };
  return side;
}

constexpr unsigned kRoundTripMs = 20;

struct FarTree {
  SftpAccess access;
  std::string root;
  uint64_t names = 0;
};

// A client that is mounted for each run with an empty cache.
struct FarMount {
  Lab& lab;
  Client client;
  std::string cache;
  uint64_t names = 0;
  std::optional<Mount> mounted{};

  Result<void> prepare() {
    lab.remove_cache(cache);
    mounted.emplace(TRY(lab.mount(client)));
    if (client.name == "netfs") return lab.await_connected(*mounted);
    return {};
  }
  Result<Work> run() {
    Work work = TRY(find_ls(mounted->directory(), names));
    work.figure = work.seconds * 1000 / kRoundTripMs;
    return work;
  }
};

Result<Side> far_side(Lab& lab, Peer peer, const FarTree& tree) {
  std::string cache = "far-names-" + std::to_string(static_cast<int>(peer));
  Client client = TRY(lab.client_at(tree.access, peer, tree.root, cache));
  Side side{.name = client.name, .how = client.how};
  auto state = std::make_shared<FarMount>(FarMount{lab, std::move(client), cache, tree.names});
  side.prepare = [state] { return state->prepare(); };
  side.run = [state] { return state->run(); };
  side.finish = [state] { state->mounted.reset(); };
  side.processes = [state] { return state->mounted->processes(); };
  if (peer != Peer::kNetfs) side.rounds_max = 1;
  return side;
}

Result<void> far_names(Lab& lab) {
  std::string name = "names/find-cold-20ms";
  if (!lab.options().wants(name)) return {};
  constexpr uint64_t kPerDirectory = 20;
  uint64_t directories = lab.size(320, 64);
  std::string source = lab.work().path("source-far-names");
  TRY(make_tree(source,
                {.seed = 6, .count = directories * kPerDirectory, .per_directory = kPerDirectory}));
  SftpAccess access = TRY(lab.server());
  Link how{.rtt_ms = kRoundTripMs, .bits_per_second = 1'000'000'000};
  DelayProxy proxy =
      TRY(DelayProxy::start(lab.options().proxy_program, how, access.port, lab.work()));
  FarTree tree{TRY(access_through(proxy, access, lab.work())), source,
               directories * (kPerDirectory + 1)};
  std::vector<Side> sides;
  if (lab.options().netfs) sides.push_back(TRY(far_side(lab, Peer::kNetfs, tree)));
  if (lab.options().peers) {
    for (Peer peer : {Peer::kSshfs, Peer::kRclone}) {
      sides.push_back(TRY(far_side(lab, peer, tree)));
    }
  }
  lab.add(run_row({.name = name,
                   .what = "find -ls over " + std::to_string(directories) +
                           " directories at 20 ms, cold, waited",
                   .unit = "round trips",
                   .reach = "directories/16 + 3",
                   .less_is_better = true},
                  std::move(sides), lab.options().pairs));
  return {};
}

Result<void> names(Lab& lab) {
  TRY(far_names(lab));
  TRY(names_again(lab));
  TRY(names_many(lab));
  TreeSpec tree{.seed = 5, .count = lab.size(100'000, 10'000), .per_directory = 1000};
  std::vector<FileSpec> files = tree_files(tree);
  std::string source = lab.work().path("source-names");
  std::string native = lab.work().path("native-names");
  TRY(make_tree(source, tree));
  TRY(make_tree(native, tree));
  std::vector<Place> places;
  if (lab.options().netfs) {
    Client client = TRY(lab.client(Peer::kNetfs, source, "names", {"--metadata-ttl", "1h"}));
    auto mount = std::make_shared<Mount>(TRY(lab.mount(client)));
    places.push_back({client.name, client.how, mount->directory(), mount});
  }
  places.push_back({"native", "", native, nullptr});
  uint64_t count = files.size();
  Walk stat = [&](const std::string& root) { return stat_files(root, files, 1); };
  Walk find = [&](const std::string& root) { return find_ls(root, count); };
  for (const Place& place : places) TRY(find(place.root));
  struct Setting {
    std::string name, what, reach;
    const Walk& walk;
    bool drop;
  };
  const Setting settings[] = {
      {"stat-warm", "stat, warm", "0.8 of native", stat, false},
      {"stat-dropped", "stat, dentries dropped", "1.0 of native", stat, true},
      {"find-warm", "find -ls, warm", "1.0 of native", find, false},
      {"find-dropped", "find -ls, dentries dropped", "1.2 of native", find, true},
  };
  for (const Setting& setting : settings) {
    std::string name = "names/" + setting.name;
    if (!lab.options().wants(name)) continue;
    std::vector<Side> sides;
    for (const Place& place : places) sides.push_back(side_of(place, setting.walk, setting.drop));
    lab.add(run_row({.name = name,
                     .what = std::to_string(count) + " known names, " + setting.what,
                     .unit = "names/s",
                     .reach = setting.reach},
                    std::move(sides), lab.options().pairs));
  }
  return {};
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("names", argc, argv, netfs::bench::names);
}
