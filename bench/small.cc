// open+read+close of 10,000 small sealed files (4 to 64 KiB) against a native copy of the tree.
//
// Warm with 1 and 4 processes, after the page cache is dropped, and warm on an --immutable mount,
// where OPEN never reaches the daemon.  Names and attributes stay valid on every side for the run.

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

struct Setting {
  std::string name;
  std::string what;
  std::string reach;
  unsigned jobs;
  std::optional<Forget> drop;
};

const Setting kSettings[] = {
    {"warm-1", "warm, 1 process", "0.15 of native", 1, {}},
    {"warm-4", "warm, 4 processes", "0.25 of native", 4, {}},
    {"dropped-1", "page cache dropped, 1 process", "0.75 of native", 1, Forget::kPages},
    {"dropped-all-1", "page cache, dentries and inodes dropped, 1 process", "", 1,
     Forget::kPagesAndNames},
};

Result<void> verify_tree(const std::string& root, const std::vector<FileSpec>& files) {
  for (const FileSpec& file : files) {
    TRY(verify_file({root + "/" + file.path, file.seed, file.size_bytes}));
  }
  return {};
}

Side side_of(const Place& place, const std::vector<FileSpec>& files, const Setting& setting) {
  Side side{.name = place.name, .how = place.how};
  side.prepare = [&, root = place.root]() -> Result<void> {
    if (setting.drop) return forget(*setting.drop);
    TRY(read_files(root, files, 1));
    return {};
  };
  side.run = [&, root = place.root] { return read_files(root, files, setting.jobs); };
  if (place.mount) side.processes = [mount = place.mount] { return mount->processes(); };
  return side;
}

Result<Place> netfs_place(Lab& lab, const std::string& source, const std::vector<FileSpec>& files,
                          const std::vector<std::string>& options) {
  std::string cache = "small" + std::to_string(options.size());
  Client client = TRY(lab.client(Peer::kNetfs, source, cache, options));
  auto mount = std::make_shared<Mount>(TRY(lab.mount(client)));
  TRY(verify_tree(mount->directory(), files));
  if (options.front() == "--immutable") {
    TRY(lab.await_stored(*mount));  // there are no opens, so nothing is handed out
  } else {
    std::vector<FileSpec> here = files;
    for (FileSpec& file : here) file.path = mount->path(file.path);
    TRY(lab.await_sealed(*mount, here));
  }
  return Place{client.name, client.how, mount->directory(), mount};
}

void take(Lab& lab, const std::vector<Place>& places, const std::vector<FileSpec>& files,
          const Setting& setting, const std::string& name) {
  if (!lab.options().wants(name)) return;
  std::vector<Side> sides;
  for (const Place& place : places) sides.push_back(side_of(place, files, setting));
  lab.add(run_row({.name = name,
                   .what = "open+read+close of " + std::to_string(files.size()) +
                           " small sealed files, " + setting.what,
                   .unit = "files/s",
                   .reach = setting.reach},
                  std::move(sides), lab.options().pairs));
}

Result<void> small(Lab& lab) {
  TreeSpec tree{
      .seed = 1000, .count = lab.size(10'000, 1'000), .min_bytes = 4 << 10, .max_bytes = 64 << 10};
  std::vector<FileSpec> files = tree_files(tree);
  std::string source = lab.work().path("source-small");
  std::string native = lab.work().path("native-small");
  TRY(make_tree(source, tree));
  TRY(make_tree(native, tree));
  std::vector<Place> places;
  if (lab.options().netfs) {
    places.push_back(TRY(netfs_place(lab, source, files, {"--metadata-ttl", "1h"})));
  }
  places.push_back({"native", "", native, nullptr});
  for (const Setting& setting : kSettings) {
    take(lab, places, files, setting, "small/" + setting.name);
  }
  if (!lab.options().netfs) return {};
  places.front() = TRY(netfs_place(lab, source, files, {"--immutable"}));
  Setting immutable{"immutable-1", "warm, --immutable, 1 process", "0.65 of native", 1, {}};
  take(lab, places, files, immutable, "small/immutable-1");
  return {};
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("small", argc, argv, netfs::bench::small);
}
