// ring_spike: is FUSE over io_uring worth a second transport?  The same do-nothing file system over
// /dev/fuse with placed threads, over /dev/fuse with free ones, and over the ring.
//
//   ring_spike DIRECTORY [ROUNDS]      an empty directory; default: 9 rounds; root
//
// Wants /sys/module/fuse/parameters/enable_uring to be Y.  Each round mounts each of the three, in
// turned order, and runs each row for 0.4 s; prints a table in Markdown: medians of what was done a
// second, and the median of the rounds' ratios of ring over placed.

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/assert.h"
#include "fuse/caller_watch.h"
#include "fuse/device_channel.h"
#include "fuse/mount.h"
#include "fuse/ring_channel.h"
#include "fuse/session.h"
#include "sync/thread.h"

namespace netfs::spike {
namespace {

constexpr uint64_t kFileBytes = 1 << 30;
constexpr Duration kRowTime = std::chrono::milliseconds(400);
constexpr fuse::NodeId kFile{2};
constexpr long kFuseMagic = 0x65735546;

enum class Transport { kPlaced, kFree, kRing };
constexpr std::array kTransports = {Transport::kPlaced, Transport::kFree, Transport::kRing};
constexpr std::array kNames = {"classic, placed", "classic, free", "ring"};

// Every name but "file" is another empty file that must be looked up each time.
class Nothing final : public fuse::Handler {
 public:
  void started(const fuse::Negotiated&) override {}
  void interrupt(uint64_t) override {}
  void handle(const fuse::Request& request, fuse::Reply reply) override;

 private:
  static fuse::Attr attr_of(fuse::NodeId node) {
    if (node == fuse::kRootNode) return {.ino = 1, .mode = S_IFDIR | 0755, .link_count = 2};
    return {.ino = node.value, .size_bytes = kFileBytes, .mode = S_IFREG | 0444};
  }
};

void Nothing::handle(const fuse::Request& request, fuse::Reply reply) {
  alignas(4096) static const std::byte kZeroes[1 << 20] = {};
  if (const auto* read = std::get_if<fuse::ReadRequest>(&request.body)) {
    reply.data(
        std::span(kZeroes).first(std::min<uint64_t>(read->range.length_bytes, sizeof kZeroes)));
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

Result<void> serve(const std::string& directory, Transport transport) {
  std::vector<UniqueFd> fds = TRY(fuse::mount({.source = "spike",
                                               .mount_point = directory,
                                               .subtype = "spike",
                                               .queues = sync::cpu_count(),
                                               .read_only = true}));
  std::unique_ptr<fuse::KernelChannel> channel;
  fuse::CallerWatch callers;
  fuse::SessionOptions options;
  if (transport == Transport::kRing) {
    channel = TRY(fuse::RingChannel::create(fds));
    options.over_ring = true;
  } else {
    channel = TRY(fuse::DeviceChannel::create(std::move(fds)));
    if (transport == Transport::kPlaced) options.callers = &callers;
  }
  Nothing handler;
  auto session = TRY(fuse::Session::create(*channel, handler, options, Clock::system()));
  session->start();
  session->wait(Deadline::never());
  session->stop(Deadline::after(Clock::system(), std::chrono::seconds(1)));
  return {};
}

bool is_mounted(const std::string& directory) {
  struct statfs found {};
  return ::statfs(directory.c_str(), &found) == 0 && found.f_type == kFuseMagic;
}

using Work = void (*)(const std::string& directory, uint64_t turn, int fd);

void read_once(const std::string&, uint64_t turn, int fd) {
  alignas(4096) thread_local char page[4096];
  const uint64_t at = (turn * 2654435761U) % (kFileBytes / sizeof page) * sizeof page;
  NETFS_ASSERT(::pread(fd, page, sizeof page, static_cast<off_t>(at)) == sizeof page);
}
void stat_once(const std::string& directory, uint64_t turn, int) {
  struct stat found {};
  NETFS_ASSERT(::stat((directory + "/" + std::to_string(turn)).c_str(), &found) == 0);
}
void open_once(const std::string& directory, uint64_t, int) {
  const int fd = ::open((directory + "/file").c_str(), O_RDONLY | O_CLOEXEC);
  NETFS_ASSERT(fd >= 0 && ::close(fd) == 0);
}

struct Row {
  const char* what;
  Work work;
  unsigned jobs;
};
constexpr std::array kRows = {
    Row{"4 KiB random O_DIRECT reads, 1 job", read_once, 1},
    Row{"4 KiB random O_DIRECT reads, 4 jobs", read_once, 4},
    Row{"stat of a name that must be looked up, 1 job", stat_once, 1},
    Row{"stat of a name that must be looked up, 4 jobs", stat_once, 4},
    Row{"open and close, 1 job", open_once, 1},
    Row{"open and close, 4 jobs", open_once, 4},
};

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

using Rates = std::array<double, kRows.size()>;

Rates measure(const std::string& directory, Transport transport) {
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    const Result<void> served = serve(directory, transport);
    if (!served.ok()) std::fprintf(stderr, "ring_spike: %s\n", served.error().message().c_str());
    ::_exit(served.ok() ? 0 : 1);
  }
  for (int i = 0; i < 500 && !is_mounted(directory); ++i) ::usleep(10'000);
  NETFS_ASSERT(is_mounted(directory));
  ::usleep(100'000);  // until all rings are registered
  Rates rates{};
  for (size_t row = 0; row < kRows.size(); ++row) rates[row] = rate_of(directory, kRows[row]);
  NETFS_ASSERT(fuse::unmount(directory, fuse::UnmountMode::kPlain).ok());
  int status = 0;
  NETFS_ASSERT(::waitpid(daemon, &status, 0) == daemon);
  return rates;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void run(const std::string& directory, unsigned rounds) {
  std::array<std::vector<Rates>, kTransports.size()> all;
  for (unsigned round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < kTransports.size(); ++i) {
      const size_t at = round % 2 == 0 ? i : kTransports.size() - 1 - i;
      all[at].push_back(measure(directory, kTransports[at]));
    }
  }
  std::printf("| a second |");
  for (const char* name : kNames) std::printf(" %s |", name);
  std::printf(" ring over placed |\n| --- | --- | --- | --- | --- |\n");
  for (size_t row = 0; row < kRows.size(); ++row) {
    std::printf("| %s |", kRows[row].what);
    for (const std::vector<Rates>& of : all) {
      std::vector<double> values;
      for (const Rates& rates : of) values.push_back(rates[row]);
      std::printf(" %.0f |", median(values));
    }
    std::vector<double> ratios;
    for (unsigned round = 0; round < rounds; ++round) {
      ratios.push_back(all[2][round][row] / all[0][round][row]);
    }
    std::printf(" **%.2f** (%.2f to %.2f) |\n", median(ratios),
                *std::min_element(ratios.begin(), ratios.end()),
                *std::max_element(ratios.begin(), ratios.end()));
  }
}

}  // namespace
}  // namespace netfs::spike

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: %s DIRECTORY [ROUNDS]\n", argv[0]);
    return 2;
  }
  netfs::spike::run(argv[1], argc == 3 ? static_cast<unsigned>(std::atoi(argv[2])) : 9);
  return 0;
}
