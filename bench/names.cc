// stat and find -ls of 100,000 known names against a native tree of the same names: warm, and after
// dentries and inodes are dropped (echo 2).  The names are known: a find has seen them all.

#include <optional>

#include "harness/lab.h"
#include "harness/page_cache.h"
#include "harness/patterns.h"

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

Result<void> names(Lab& lab) {
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
