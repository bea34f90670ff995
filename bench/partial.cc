// A partly cached file: 4 KiB random O_DIRECT reads of its cached half, with 1 and 4 jobs, against
// a do-nothing handler on the same transport (fuse_floor).
//
// And against libfuse's own example, passthrough_hp --nopassthrough, which answers each read from
// the file on the disk, where NETFS_BENCH_FUSE_EXAMPLE names one that is built
// (bench/fuse_example); that row says so where it is not.
//
// The second half of the file was never read, so it cannot be sealed: each read is answered by the
// daemon.  O_DIRECT keeps the kernel's page cache out on both sides.

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "harness/lab.h"
#include "harness/patterns.h"

namespace netfs::bench {
namespace {

// Reads the first `length_bytes` without telling the kernel or us that it goes on: no readahead.
Result<void> read_first_part(const FileSpec& file, uint64_t length_bytes) {
  UniqueFd fd(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Error(errno, "bench.partial", "cannot open " + file.path);
  std::vector<char> buffer(1 << 20);
  for (uint64_t at = 0; at < length_bytes; at += buffer.size()) {
    ssize_t got = ::pread(fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(at));
    if (got != static_cast<ssize_t>(buffer.size())) {
      return Error(errno != 0 ? errno : EIO, "bench.partial", "cannot read " + file.path);
    }
  }
  return {};
}

struct Place {
  std::string name;
  std::string how;
  FileSpec file;
  std::shared_ptr<Mount> mount;
  bool check = true;
};

Result<Place> netfs_place(Lab& lab, const FileSpec& source) {
  std::string directory = source.path.substr(0, source.path.rfind('/'));
  Client client = TRY(lab.client(Peer::kNetfs, directory, "partial"));
  auto mount = std::make_shared<Mount>(TRY(lab.mount(client)));
  FileSpec file = source;
  file.path = mount->path(source.path.substr(source.path.rfind('/') + 1));
  TRY(read_first_part(file, file.size_bytes / 2));
  TRY(lab.await_stored(*mount));
  return Place{client.name, client.how, file, mount};
}

Result<Place> floor_place(Lab& lab, uint64_t size_bytes) {
  std::string program = lab.options().netfs_program;
  program = program.substr(0, program.rfind('/')) + "/fuse_floor";
  std::string directory = lab.work().path("floor");
  Command command{.argv = {program, "mount", "zero", directory, std::to_string(size_bytes)},
                  .log = lab.work().path("floor.log")};
  auto mount = std::make_shared<Mount>(TRY(Mount::start(command, directory)));
  return Place{"do-nothing",
               "fuse_floor: each READ answered from one static buffer",
               {mount->path("floor"), 0, size_bytes},
               mount,
               false};
}

// The same file by libfuse's example; its connection has no page cache either: O_DIRECT.
Result<Place> example_place(Lab& lab, const std::string& program, const FileSpec& source) {
  std::string folder = source.path.substr(0, source.path.rfind('/'));
  std::string directory = lab.work().path("example");
  Command command{
      .argv = {program, "--nopassthrough", "--foreground", "--clone-fd", folder, directory},
      .log = lab.work().path("example.log")};
  auto mount = std::make_shared<Mount>(TRY(Mount::start(command, directory)));
  FileSpec file = source;
  file.path = mount->path(source.path.substr(source.path.rfind('/') + 1));
  return Place{"libfuse's example", "passthrough_hp --nopassthrough --clone-fd", file, mount};
}

Side side_of(Lab& lab, const Place& place, unsigned jobs) {
  uint64_t count = lab.size(60'000, 5'000) / jobs;
  Side side{.name = place.name, .how = place.how};
  side.run = [place, jobs, count] {
    return read_random(place.file, {.jobs = jobs,
                                    .count = count,
                                    .direct = true,
                                    .limit_bytes = place.file.size_bytes / 4,
                                    .salt = jobs,
                                    .check = place.check});
  };
  side.processes = [mount = place.mount] { return mount->processes(); };
  return side;
}

Result<void> partial(Lab& lab) {
  FileSpec source = TRY(lab.make_source("partial", lab.size(1ULL << 30, 128ULL << 20)));
  std::vector<Place> places;
  if (lab.options().netfs) places.push_back(TRY(netfs_place(lab, source)));
  places.push_back(TRY(floor_place(lab, source.size_bytes)));
  const char* example = ::getenv("NETFS_BENCH_FUSE_EXAMPLE");
  if (lab.options().peers && example != nullptr) {
    places.push_back(TRY(example_place(lab, example, source)));
  }
  for (unsigned jobs : {1U, 4U}) {
    std::string name = "partial/direct-" + std::to_string(jobs);
    if (!lab.options().wants(name)) continue;
    std::vector<Side> sides;
    for (const Place& place : places) sides.push_back(side_of(lab, place, jobs));
    RowResult row = run_row({.name = name,
                             .what = "partly cached, 4 KiB random O_DIRECT, " +
                                     std::to_string(jobs) + (jobs == 1 ? " job" : " jobs"),
                             .unit = "reads/s",
                             .reach = "0.85 of a do-nothing handler; 2 of libfuse's example"},
                            std::move(sides), lab.options().pairs);
    if (example == nullptr) {
      row.notes.push_back("libfuse's example is not in it: NETFS_BENCH_FUSE_EXAMPLE names none");
    }
    lab.add(std::move(row));
  }
  return {};
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("partial", argc, argv, netfs::bench::partial);
}
