// A sealed file against a native file of the same bytes on the same disk: 1 MiB sequential, 4 KiB
// random with 1 and 4 jobs, random faults in a mapping; warm, and after the page cache is dropped.
//
// rclone's disk cache is the rival: its file is read whole before the clock starts, as ours is.

#include <optional>

#include "harness/lab.h"
#include "harness/page_cache.h"
#include "harness/patterns.h"

namespace netfs::bench {
namespace {

constexpr uint32_t kBlockBytes = 1 << 20;

struct Place {
  std::string name;
  std::string how;
  FileSpec file;
  std::shared_ptr<Mount> mount;  // null: native
};

struct Pattern {
  std::string name;
  std::string what;
  std::string unit;
  double scale;
  std::string reach;
  std::function<Result<Work>(const FileSpec&, bool cold)> run;
};

Result<Work> random_with(Lab& lab, const FileSpec& file, bool cold, unsigned jobs) {
  // After the drop each read costs a disk access; warm it is a hundred times cheaper.
  uint64_t count = cold ? lab.size(10'000, 1'000) : lab.size(300'000, 50'000);
  return read_random(file, {.jobs = jobs, .count = count / jobs, .salt = jobs});
}

std::vector<Pattern> patterns(Lab& lab) {
  return {
      {"sequential", "1 MiB sequential", "MB/s", 1e6, "0.95",
       [](const FileSpec& file, bool) { return read_sequential(file, kBlockBytes); }},
      {"random-1", "4 KiB random, 1 job", "reads/s", 1, "0.90",
       [&lab](const FileSpec& file, bool cold) { return random_with(lab, file, cold, 1); }},
      {"random-4", "4 KiB random, 4 jobs", "reads/s", 1, "0.90",
       [&lab](const FileSpec& file, bool cold) { return random_with(lab, file, cold, 4); }},
      {"mapping", "mmap, random pages", "pages/s", 1, "0.95",
       [&lab](const FileSpec& file, bool cold) {
         return touch_mapping(file, cold ? lab.size(10'000, 1'000) : lab.size(200'000, 20'000));
       }},
  };
}

Side side_of(const Place& place, const Pattern& pattern, bool cold) {
  Side side{.name = place.name, .how = place.how};
  side.prepare = [cold, file = place.file]() -> Result<void> {
    // Warm: the whole file is in memory on this side, whatever ran before.
    return cold ? forget(Forget::kPages) : warm_file(file.path);
  };
  side.run = [&pattern, cold, file = place.file] { return pattern.run(file, cold); };
  if (place.mount) side.processes = [mount = place.mount] { return mount->processes(); };
  return side;
}

Result<Place> mounted_place(Lab& lab, Peer peer, const FileSpec& source) {
  std::string directory = source.path.substr(0, source.path.rfind('/'));
  Client client = TRY(lab.client(peer, directory, "sealed-" + std::to_string(int(peer))));
  auto mount = std::make_shared<Mount>(TRY(lab.mount(client)));
  FileSpec file = source;
  file.path = mount->path(source.path.substr(source.path.rfind('/') + 1));
  TRY(verify_file(file));
  if (peer == Peer::kNetfs) TRY(lab.await_sealed(*mount, {file}));
  return Place{client.name, client.how, file, mount};
}

Result<void> sealed(Lab& lab) {
  FileSpec source = TRY(lab.make_source("sealed", lab.size(1ULL << 30, 128ULL << 20)));
  FileSpec native = TRY(lab.make_native(source));
  std::vector<Place> places;
  if (lab.options().netfs) places.push_back(TRY(mounted_place(lab, Peer::kNetfs, source)));
  places.push_back({"native", "", native, nullptr});
  if (lab.options().peers) places.push_back(TRY(mounted_place(lab, Peer::kRclone, source)));
  std::vector<Pattern> all = patterns(lab);
  // One file's pages came to memory as they were written, the other's by readahead, and so in
  // pieces of other sizes: a fault then maps more or fewer of them.  Here all are read in alike.
  TRY(forget(Forget::kPages));
  for (bool cold : {false, true}) {
    for (const Pattern& pattern : all) {
      std::string name = "sealed/" + pattern.name + (cold ? "/dropped" : "/warm");
      if (!lab.options().wants(name)) continue;
      std::vector<Side> sides;
      for (const Place& place : places) {
        sides.push_back(side_of(place, pattern, cold));
        if (place.name == "rclone") sides.back().rounds_max = 3;
      }
      lab.add(run_row(
          {.name = name,
           .what = "sealed file, " + pattern.what + (cold ? ", page cache dropped" : ", warm"),
           .unit = pattern.unit,
           .scale = pattern.scale,
           .reach = pattern.reach + " of native"},
          std::move(sides), lab.options().pairs));
    }
  }
  return {};
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("sealed", argc, argv, netfs::bench::sealed);
}
