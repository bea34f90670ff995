#include "names_again.h"

#include <optional>
#include <time.h>

#include "harness/delay_proxy.h"
#include "harness/patterns.h"

namespace netfs::bench {
namespace {

constexpr unsigned kRoundTripMs = 20;

enum class Moment { kCold, kAtOnce, kLater, kRestart };

struct MomentSpec {
  Moment moment;
  std::string name, what, reach;
};
const MomentSpec kMoments[] = {
    {Moment::kCold, "cold", "cold", ""},
    {Moment::kAtOnce, "at-once", "the same again at once", "2x native"},
    {Moment::kLater, "after-10s", "the same after 10 s", "2x native and one validation sweep"},
    {Moment::kRestart, "restart", "by a new daemon, same cache", "3x native"},
};

// What is believed for how long.  With the default TTL of 5 s nothing is kept for another daemon
// where the origin is asked first.
struct Policy {
  std::string name;
  std::vector<std::string> options;
  bool as_peers = false;  // they believe names for as long
};
const Policy kPolicies[] = {
    {"first", {"--revalidate=first"}},
    {"first-1h", {"--revalidate=first", "--metadata-ttl=1h"}, true},
    {"behind", {"--revalidate=behind"}},
};

// Makes a client of a cache that has this name.
using MakeClient = std::function<Result<Client>(const std::string& cache, const Policy& policy)>;
using MakePeer = std::function<Result<Client>(Peer peer, const std::string& cache)>;

struct Far {
  std::string name;  // of the origin
  MakeClient client;
  MakePeer peer{};  // null: none reads there
};

std::string row_name(const std::string& origin, const Policy& policy, const MomentSpec& moment) {
  return "names/again-" + origin + "-" + policy.name + "-" + moment.name;
}

bool any_is_wanted(const Options& options) {
  for (const char* origin : {"file", "sftp"}) {
    for (const Policy& policy : kPolicies) {
      for (const MomentSpec& moment : kMoments) {
        if (options.netfs && options.wants(row_name(origin, policy, moment))) return true;
      }
    }
  }
  return false;
}

// One mount at one moment.
struct Again {
  Lab& lab;
  Client client;
  std::string cache;
  Moment moment;
  uint64_t names = 0;
  std::optional<Mount> mounted{};
  std::string said{};  // of the last run, of its names

  Result<void> mount() {
    mounted.reset();
    mounted.emplace(TRY(lab.mount(client)));
    return is_netfs() ? lab.await_connected(*mounted) : Result<void>();
  }
  [[nodiscard]] bool is_netfs() const { return client.name == "netfs"; }
  Result<void> prepare() {
    mounted.reset();
    lab.remove_cache(cache);
    TRY(mount());
    if (moment == Moment::kCold) return {};
    TRY(find_ls(mounted->directory(), names));
    if (moment == Moment::kLater) {
      timespec time{.tv_sec = 10, .tv_nsec = 0};
      ::nanosleep(&time, nullptr);
    }
    if (moment != Moment::kRestart) return {};
    if (is_netfs()) TRY(lab.await_stored(*mounted));
    return mount();
  }
  Result<Work> run() {
    Work work = TRY(find_ls(mounted->directory(), names));
    work.figure = work.seconds * 1000;
    return work;
  }
  // The daemon stands still, or looks behind what it has shown.
  void finish() {
    if (!mounted) return;
    if (is_netfs()) {
      Result<nlohmann::json> status = lab.status(*mounted);
      said = status.ok() ? status.value()["mounts"][0]["names"].dump() : status.error().message();
    }
    mounted.reset();
  }
};

Side native_side(const std::string& tree, uint64_t names) {
  Side side{.name = "native", .how = "the same tree on this machine's disk"};
  side.prepare = [tree, names]() -> Result<void> {
    TRY(find_ls(tree, names));
    return {};
  };
  side.run = [tree, names]() -> Result<Work> {
    Work work = TRY(find_ls(tree, names));
    work.figure = work.seconds * 1000;
    return work;
  };
  return side;
}

std::pair<Side, std::shared_ptr<Again>> side_of(Lab& lab, Client client, std::string cache,
                                                Moment moment, uint64_t names) {
  Side side{.name = client.name, .how = client.how};
  auto state = std::make_shared<Again>(Again{.lab = lab,
                                             .client = std::move(client),
                                             .cache = std::move(cache),
                                             .moment = moment,
                                             .names = names});
  side.prepare = [state] { return state->prepare(); };
  side.run = [state] { return state->run(); };
  side.finish = [state] { state->finish(); };
  side.processes = [state] { return state->mounted->processes(); };
  return {std::move(side), std::move(state)};
}

Result<void> take(Lab& lab, const Far& far, const Policy& policy, const MomentSpec& moment,
                  const Side& native, uint64_t names) {
  const std::string name = row_name(far.name, policy, moment);
  if (!lab.options().wants(name)) return {};
  const std::string cache = "again-" + far.name + "-" + policy.name;
  auto [side, state] = side_of(lab, TRY(far.client(cache, policy)), cache, moment.moment, names);
  std::vector<Side> sides{std::move(side), native};
  if (far.peer && policy.as_peers && lab.options().peers) {
    for (const Peer peer : {Peer::kSshfs, Peer::kRclone}) {
      const std::string its = cache + "-" + std::to_string(static_cast<int>(peer));
      Side other = side_of(lab, TRY(far.peer(peer, its)), its, moment.moment, names).first;
      other.rounds_max = 1;
      sides.push_back(std::move(other));
    }
  }
  RowResult row = run_row({.name = name,
                           .what = "find -ls of " + std::to_string(names) + " names at 20 ms by " +
                                   far.name + ":, " + policy.name + ", " + moment.what,
                           .unit = "ms",
                           .reach = moment.reach,
                           .less_is_better = true},
                          std::move(sides), lab.options().pairs);
  row.notes.push_back("netfs says of the names of the last run: " + state->said);
  lab.add(std::move(row));
  return {};
}

}  // namespace

Client file_client(const Lab& lab, const std::string& tree, const std::string& name,
                   const std::vector<std::string>& options) {
  std::vector<std::string> argv{lab.options().netfs_program,
                                "mount",
                                "file://" + tree,
                                lab.work().path("mount-" + name),
                                "--foreground",
                                "--read-only",
                                "--cache-dir",
                                lab.work().path("cache-" + name)};
  std::string how = "netfs mount file://... --read-only --cache-dir ...";
  for (const std::string& option : options) how += " " + option;
  argv.insert(argv.end(), options.begin(), options.end());
  return {.name = "netfs",
          .how = std::move(how),
          .command = {.argv = std::move(argv), .log = lab.work().path("client-" + name + ".log")}};
}

Result<void> names_again(Lab& lab) {
  const Options& options = lab.options();
  if (!any_is_wanted(options)) return {};
  constexpr uint64_t kPerDirectory = 50;
  const uint64_t directories = lab.size(200, 40);
  const TreeSpec spec{
      .seed = 7, .count = directories * kPerDirectory, .per_directory = kPerDirectory};
  const uint64_t names = directories * (kPerDirectory + 1);
  const std::string source = lab.work().path("source-again");
  const std::string native_tree = lab.work().path("native-again");
  TRY(make_tree(source, spec));
  TRY(make_tree(native_tree, spec));
  const Side native = native_side(native_tree, names);

  SftpAccess access = TRY(lab.server());
  const Link how{.rtt_ms = kRoundTripMs, .bits_per_second = 1'000'000'000};
  DelayProxy proxy = TRY(DelayProxy::start(options.proxy_program, how, access.port, lab.work()));
  const SftpAccess far_access = TRY(access_through(proxy, access, lab.work()));
  const Far fars[] = {
      {"file",
       [&](const std::string& cache, const Policy& policy) -> Result<Client> {
         std::vector<std::string> all = policy.options;
         all.insert(all.end(), {"--simulate", "rtt=20ms"});
         return file_client(lab, source, cache, all);
       }},
      {"sftp",
       [&](const std::string& cache, const Policy& policy) {
         return lab.client_at(far_access, Peer::kNetfs, source, cache, policy.options);
       },
       [&](Peer peer, const std::string& cache) {
         return lab.client_at(far_access, peer, source, cache);
       }},
  };
  for (const Far& far : fars) {
    for (const Policy& policy : kPolicies) {
      for (const MomentSpec& moment : kMoments) {
        TRY(take(lab, far, policy, moment, native, names));
      }
    }
  }
  return {};
}

}  // namespace netfs::bench
