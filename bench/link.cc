// A far link: cold sequential at 20 and 100 ms and 1 Gbit/s, and the latency of cold random 64 KiB
// reads at 20 ms in round trips.
//
// The link is delay_proxy: one shaper for all connections together.  Beside netfs stands plain TCP
// over the same proxy: what the link gives.  Every run mounts anew with an empty cache; mount and
// connections stand before the clock starts.  The peers read a smaller file, or a run of theirs
// would take minutes.

#include <optional>

#include "harness/delay_proxy.h"
#include "harness/lab.h"
#include "harness/page_cache.h"
#include "harness/patterns.h"
#include "harness/raw_stream.h"

namespace netfs::bench {
namespace {

constexpr uint64_t kBitsPerSecond = 1'000'000'000;
constexpr uint32_t kBlockBytes = 1 << 20;
constexpr uint32_t kRandomBytes = 64 << 10;

using Reading = std::function<Result<Work>(const FileSpec&, unsigned round)>;

// A client that is mounted for each run with an empty cache.
struct FarMount {
  Lab& lab;
  Client client;
  std::string cache;
  FileSpec source;
  Reading reading;
  std::optional<Mount> mounted{};
  unsigned round = 0;

  Result<void> prepare() {
    lab.remove_cache(cache);
    TRY(warm_file(source.path));
    mounted.emplace(TRY(lab.mount(client)));
    if (client.name == "netfs") return lab.await_connected(*mounted);
    return {};
  }
  Result<Work> run() {
    FileSpec file = source;
    file.path = mounted->path(source.path.substr(source.path.rfind('/') + 1));
    return reading(file, round++);
  }
};

Result<Side> far_side(Lab& lab, Peer peer, const SftpAccess& access, const FileSpec& source,
                      Reading reading) {
  std::string directory = source.path.substr(0, source.path.rfind('/'));
  std::string cache = "far-" + std::to_string(static_cast<int>(peer));
  Client client = TRY(lab.client_at(access, peer, directory, cache));
  Side side{.name = client.name, .how = client.how};
  auto state = std::make_shared<FarMount>(
      FarMount{lab, std::move(client), cache, source, std::move(reading)});
  side.prepare = [state] { return state->prepare(); };
  side.run = [state] { return state->run(); };
  side.finish = [state] { state->mounted.reset(); };
  side.processes = [state] { return state->mounted->processes(); };
  return side;
}

Result<Work> raw_bulk(uint16_t port, uint64_t length_bytes) {
  RawStream stream = TRY(RawStream::connect(port));
  TRY(stream.fetch(8));  // The connection stands.
  double before = monotonic_seconds();
  TRY(stream.fetch(length_bytes));
  return Work{.seconds = monotonic_seconds() - before, .units = length_bytes};
}

Work in_round_trips(const std::vector<double>& latencies, unsigned rtt_ms) {
  double sum = 0;
  for (double latency : latencies) sum += latency;
  return {
      .seconds = sum, .units = latencies.size(), .figure = median_of(latencies) * 1000 / rtt_ms};
}

Result<Work> raw_latency(uint16_t port, const Link& link, uint64_t count) {
  RawStream stream = TRY(RawStream::connect(port));
  TRY(stream.fetch(8));
  std::vector<double> latencies;
  for (uint64_t i = 0; i < count; ++i) {
    double before = monotonic_seconds();
    TRY(stream.fetch(kRandomBytes));
    latencies.push_back(monotonic_seconds() - before);
  }
  return in_round_trips(latencies, link.rtt_ms);
}

struct Far {
  Link link;
  SftpAccess access;
  uint16_t raw_port;
  FileSpec full;
  FileSpec part;  // for the peers
};

Result<void> sequential(Lab& lab, const Far& far) {
  std::string name = "link/sequential-" + std::to_string(far.link.rtt_ms) + "ms";
  if (!lab.options().wants(name)) return {};
  Reading whole = [](const FileSpec& file, unsigned) { return read_sequential(file, kBlockBytes); };
  std::vector<Side> sides;
  if (lab.options().netfs) {
    sides.push_back(TRY(far_side(lab, Peer::kNetfs, far.access, far.full, whole)));
  }
  uint64_t raw_bytes = far.full.size_bytes;
  sides.push_back({.name = "plain TCP",
                   .how = "one TCP connection through the proxy, no protocol",
                   .run = [&far, raw_bytes] { return raw_bulk(far.raw_port, raw_bytes); }});
  if (lab.options().peers) {
    for (Peer peer : {Peer::kSshfs, Peer::kRclone}) {
      sides.push_back(TRY(far_side(lab, peer, far.access, far.part, whole)));
      sides.back().rounds_max = far.link.rtt_ms > 50 ? 1 : 3;
    }
  }
  lab.add(run_row({.name = name,
                   .what = "cold sequential, " + std::to_string(far.link.rtt_ms) +
                           " ms and 1 Gbit/s (125 MB/s)",
                   .unit = "MB/s",
                   .scale = 1e6,
                   .reach = "0.95 of the link"},
                  std::move(sides), lab.options().pairs));
  return {};
}

Result<void> random_reads(Lab& lab, const Far& far) {
  std::string name = "link/random-" + std::to_string(far.link.rtt_ms) + "ms";
  if (!lab.options().wants(name)) return {};
  uint64_t count = lab.size(100, 20);
  Reading reading = [&far, count](const FileSpec& file, unsigned round) -> Result<Work> {
    std::vector<double> latencies =
        TRY(random_latencies(file, {.count = count, .block_bytes = kRandomBytes, .salt = round}));
    return in_round_trips(latencies, far.link.rtt_ms);
  };
  std::vector<Side> sides;
  if (lab.options().netfs) {
    sides.push_back(TRY(far_side(lab, Peer::kNetfs, far.access, far.full, reading)));
  }
  sides.push_back({.name = "plain TCP",
                   .how = "one TCP connection through the proxy, no protocol",
                   .run = [&far, count] { return raw_latency(far.raw_port, far.link, count); }});
  if (lab.options().peers) {
    for (Peer peer : {Peer::kSshfs, Peer::kRclone}) {
      sides.push_back(TRY(far_side(lab, peer, far.access, far.full, reading)));
      sides.back().rounds_max = 3;
    }
  }
  lab.add(run_row(
      {.name = name,
       .what = "cold random 64 KiB at " + std::to_string(far.link.rtt_ms) + " ms, median latency",
       .unit = "round trips",
       .reach = "1.3 round trips",
       .less_is_better = true},
      std::move(sides), lab.options().pairs));
  return {};
}

Result<void> link(Lab& lab) {
  FileSpec full = TRY(lab.make_source("full", lab.size(1ULL << 30, 128ULL << 20)));
  FileSpec part = TRY(lab.make_source("part", lab.size(64ULL << 20, 16ULL << 20)));
  SftpAccess access = TRY(lab.server());
  RawServer raw = TRY(RawServer::start());
  for (unsigned rtt_ms : {20U, 100U}) {
    Link how{.rtt_ms = rtt_ms, .bits_per_second = kBitsPerSecond};
    std::string program = lab.options().proxy_program;
    DelayProxy to_sftp = TRY(DelayProxy::start(program, how, access.port, lab.work()));
    DelayProxy to_raw = TRY(DelayProxy::start(program, how, raw.port(), lab.work()));
    Far far{how, TRY(access_through(to_sftp, access, lab.work())), to_raw.port(), full, part};
    TRY(sequential(lab, far));
    if (rtt_ms == 20) TRY(random_reads(lab, far));
  }
  return {};
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  return netfs::bench::Lab::run("link", argc, argv, netfs::bench::link);
}
