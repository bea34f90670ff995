#include "spikes/spike.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string_view>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "fuse/mount.h"
#include "sync/thread.h"

namespace netfs::spike {

namespace {

constexpr Duration kRowTime = std::chrono::milliseconds(400);
constexpr fuse::NodeId kFile{2};
constexpr long kFuseMagic = 0x65735546;

fuse::Attr attr_of(fuse::NodeId node) {
  if (node == fuse::kRootNode) return {.ino = 1, .mode = S_IFDIR | 0755, .link_count = 2};
  return {.ino = node.value, .size_bytes = kFileBytes, .mode = S_IFREG | 0444};
}

bool is_mounted(const std::string& directory) {
  struct statfs found {};
  return ::statfs(directory.c_str(), &found) == 0 && found.f_type == kFuseMagic;
}

// In a process of its own: how often it was done in a row's time.
uint64_t job(const std::string& directory, const Row& row, unsigned number) {
  const int fd = ::open((directory + "/file").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
  NETFS_ASSERT(fd >= 0);
  const MonoTime end = Clock::system().now() + kRowTime;
  uint64_t done = 0;
  do {
    for (int i = 0; i < 16; ++i, ++done) {
      row.work(directory, (uint64_t{number} << 32) + done, fd);
    }
  } while (Clock::system().now() < end);
  return done;
}

double rate_of(const std::string& directory, const Row& row) {
  int ends[2];
  NETFS_ASSERT(::pipe2(ends, O_CLOEXEC) == 0);
  std::vector<pid_t> jobs;
  for (unsigned i = 0; i < row.jobs; ++i) {
    jobs.push_back(::fork());
    if (jobs.back() != 0) continue;
    const uint64_t done = job(directory, row, i);
    ::_exit(::write(ends[1], &done, sizeof done) == sizeof done ? 0 : 1);
  }
  uint64_t sum = 0;
  for (const pid_t pid : jobs) {
    int status = 0;
    uint64_t done = 0;
    NETFS_ASSERT(::waitpid(pid, &status, 0) == pid && status == 0);
    NETFS_ASSERT(::read(ends[0], &done, sizeof done) == sizeof done);
    sum += done;
  }
  ::close(ends[0]);
  ::close(ends[1]);
  return static_cast<double>(sum) / std::chrono::duration<double>(kRowTime).count();
}

using Rates = std::vector<double>;

Rates measure(const std::string& directory, const Side& side, const std::vector<Row>& rows) {
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    const Result<void> served = side.serve(directory);
    if (!served.ok()) std::fprintf(stderr, "%s: %s\n", side.name, served.error().message().c_str());
    ::_exit(served.ok() ? 0 : 1);
  }
  for (int i = 0; i < 500 && !is_mounted(directory); ++i) ::usleep(10'000);
  NETFS_ASSERT(is_mounted(directory));
  ::usleep(100'000);  // until all is registered
  Rates rates;
  for (const Row& row : rows) rates.push_back(rate_of(directory, row));
  NETFS_ASSERT(fuse::unmount(directory, fuse::UnmountMode::kPlain).ok());
  int status = 0;
  NETFS_ASSERT(::waitpid(daemon, &status, 0) == daemon);
  return rates;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Of sides, by their numbers.
struct Compared {
  size_t side;
  size_t over;
};

std::vector<Compared> compared(const std::vector<Side>& sides) {
  std::vector<Compared> all;
  for (size_t i = 0; i < sides.size(); ++i) {
    if (sides[i].over == nullptr) continue;
    const auto over = std::find_if(sides.begin(), sides.end(), [&](const Side& other) {
      return std::string_view(other.name) == sides[i].over;
    });
    NETFS_ASSERT(over != sides.end());
    all.push_back({i, static_cast<size_t>(over - sides.begin())});
  }
  all.push_back({sides.size() - 1, 0});
  return all;
}

void print_ratio(const std::vector<Rates>& side, const std::vector<Rates>& over, size_t row) {
  std::vector<double> ratios;
  for (size_t round = 0; round < side.size(); ++round) {
    ratios.push_back(side[round][row] / over[round][row]);
  }
  std::printf(" **%.2f** (%.2f to %.2f) |", median(ratios),
              *std::min_element(ratios.begin(), ratios.end()),
              *std::max_element(ratios.begin(), ratios.end()));
}

}  // namespace

void OneFile::read(const fuse::ReadRequest& request, fuse::Reply reply) {
  alignas(4096) static const std::byte kZeroes[1 << 20] = {};
  reply.data(
      std::span(kZeroes).first(std::min<uint64_t>(request.range.length_bytes, sizeof kZeroes)));
}

void OneFile::handle(const fuse::Request& request, fuse::Reply reply) {
  if (const auto* data = std::get_if<fuse::ReadRequest>(&request.body)) {
    read(*data, std::move(reply));
  } else if (const auto* lookup = std::get_if<fuse::LookupRequest>(&request.body)) {
    const bool lasting = lookup->name == "file";
    const fuse::NodeId node =
        lasting ? kFile
                : fuse::NodeId{3 + std::strtoull(std::string(lookup->name).c_str(), nullptr, 10)};
    reply.value(fuse::entry_out({.node = node,
                                 .entry_valid = lasting ? fuse::kForever : Duration(0),
                                 .attr_valid = fuse::kForever,
                                 .attr = attr_of(node)}));
  } else if (std::holds_alternative<fuse::GetattrRequest>(request.body)) {
    reply.value(fuse::attr_out(attr_of(request.header.node), fuse::kForever));
  } else if (std::holds_alternative<fuse::OpenRequest>(request.body)) {
    reply.value(
        fuse::open_out({.handle = fuse::HandleId{1}, .keep_cache = true, .no_flush = true}));
  } else if (std::holds_alternative<fuse::StatfsRequest>(request.body)) {
    reply.value(fuse::statfs_out({}));
  } else if (std::holds_alternative<fuse::ReleaseRequest>(request.body)) {
    reply.ok();
  } else if (std::holds_alternative<fuse::ForgetRequest>(request.body) ||
             std::holds_alternative<fuse::BatchForgetRequest>(request.body)) {
    reply.none();
  } else {
    reply.error(ENOSYS);
  }
}

Result<std::vector<UniqueFd>> mount(const std::string& directory) {
  return fuse::mount({.source = "spike",
                      .mount_point = directory,
                      .subtype = "spike",
                      .queues = sync::cpu_count(),
                      .read_only = true});
}

Result<void> serve(fuse::KernelChannel& channel, fuse::Handler& handler,
                   fuse::SessionOptions options) {
  const auto session =
      TRY(fuse::Session::create(channel, handler, std::move(options), Clock::system()));
  session->start();
  session->wait(Deadline::never());
  session->stop(Deadline::after(Clock::system(), std::chrono::seconds(1)));
  return {};
}

void run(const std::string& directory, unsigned rounds, const std::vector<Side>& sides,
         const std::vector<Row>& rows) {
  std::vector<std::vector<Rates>> all(sides.size());
  for (unsigned round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < sides.size(); ++i) {
      const size_t at = round % 2 == 0 ? i : sides.size() - 1 - i;
      all[at].push_back(measure(directory, sides[at], rows));
    }
  }
  std::printf("| a second |");
  for (const Side& side : sides) std::printf(" %s |", side.name);
  const std::vector<Compared> ratios = compared(sides);
  for (const Compared& one : ratios) {
    std::printf(" %s over %s |", sides[one.side].name, sides[one.over].name);
  }
  std::printf("\n| --- |");
  for (size_t i = 0; i < sides.size() + ratios.size(); ++i) std::printf(" --- |");
  std::printf("\n");
  for (size_t row = 0; row < rows.size(); ++row) {
    std::printf("| %s |", rows[row].what);
    for (const std::vector<Rates>& of : all) {
      std::vector<double> values;
      for (const Rates& rates : of) values.push_back(rates[row]);
      std::printf(" %.0f |", median(values));
    }
    for (const Compared& one : ratios) print_ratio(all[one.side], all[one.over], row);
    std::printf("\n");
  }
}

int main_of(int argc, char** argv, const std::vector<Side>& sides, const std::vector<Row>& rows) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: %s DIRECTORY [ROUNDS]\n", argv[0]);
    return 2;
  }
  run(argv[1], argc == 3 ? static_cast<unsigned>(std::atoi(argv[2])) : 9, sides, rows);
  return 0;
}

}  // namespace netfs::spike
