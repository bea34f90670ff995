#include "desk.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <time.h>
#include <unistd.h>

namespace netfs::bench {
namespace {

// A slow peer has one round, and others as long as they are over within this.
constexpr double kPeerSeconds = 60;
constexpr double kUploadSecondsMax = 600;

uint64_t bytes_in(const std::string& root) {
  uint64_t bytes = 0;
  std::error_code ignored;  // what is renamed under us is seen the next time
  std::filesystem::recursive_directory_iterator entry(root, ignored);
  for (; !ignored && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(ignored)) {
    std::error_code gone;
    const bool is_file = entry->is_regular_file(gone);
    const uintmax_t size = is_file ? entry->file_size(gone) : 0;
    if (!gone) bytes += size;
  }
  return bytes;
}

Result<void> await_bytes(const std::string& served, uint64_t bytes) {
  const double began = monotonic_seconds();
  for (;;) {
    const uint64_t there = bytes_in(served);
    if (there == bytes) return {};
    if (monotonic_seconds() - began > kUploadSecondsMax) {
      return Error(
          ETIMEDOUT, "bench.desk",
          "the server has " + std::to_string(there) + " of " + std::to_string(bytes) + " bytes");
    }
    const timespec time{.tv_sec = 0, .tv_nsec = 5'000'000};
    ::nanosleep(&time, nullptr);
  }
}

// What was written before is at rest: nobody pays for the one before him.
Result<void> empty_folder(const std::string& folder) {
  remove_tree(folder);
  std::filesystem::create_directory(folder);
  ::sync();
  return {};
}

struct Place {
  Lab& lab;
  Desk desk;
  Client client;
  std::string cache;
  std::string served{};  // at the server
  std::optional<Mount> mounted{};

  Result<void> prepare() {
    if (desk.use == Use::kWriting || desk.dropped) lab.remove_cache(cache);
    TRY(empty_folder(served));
    mounted.emplace(TRY(lab.mount(client)));
    if (desk.peer == Peer::kNetfs) return lab.await_connected(*mounted);
    return {};
  }
  [[nodiscard]] Ending ending() const {
    if (desk.use == Use::kBack) return [] { return Result<void>(); };
    return [there = served, bytes = desk.bytes] { return await_bytes(there, bytes); };
  }
  void finish() {
    if (desk.use == Use::kBack && !desk.dropped) {
      const Result<void> synced = lab.await_uploaded(*mounted);
      if (!synced.ok()) std::fprintf(stderr, "bench: %s\n", synced.error().message().c_str());
    }
    mounted.reset();
  }
};

}  // namespace

Result<Side> desk_side(Lab& lab, const Desk& desk, const Writing& writing) {
  const std::string id = desk.name + "-" + std::to_string(static_cast<int>(desk.peer)) + "-" +
                         std::to_string(static_cast<int>(desk.use));
  const std::string served = TRY(lab.work().directory("desk-" + id));
  Client client = TRY(lab.client_at(desk.access, desk.peer, served, id, {}, desk.use));
  Side side{.name = desk.called.empty() ? client.name : desk.called, .how = client.how};
  auto place = std::make_shared<Place>(Place{lab, desk, std::move(client), id, served});
  side.prepare = [place] { return place->prepare(); };
  side.run = [place, writing] { return writing(place->mounted->directory(), place->ending()); };
  side.finish = [place] { place->finish(); };
  side.processes = [place] { return place->mounted->processes(); };
  if (desk.peer != Peer::kNetfs) side.seconds_max = kPeerSeconds;
  return side;
}

Result<std::vector<Side>> desk_sides(Lab& lab, const Desk& desk, const Writing& writing) {
  std::vector<Side> sides;
  for (const Peer peer : {Peer::kNetfs, Peer::kSshfs, Peer::kRclone}) {
    const bool wanted = peer == Peer::kNetfs ? lab.options().netfs : lab.options().peers;
    if (!wanted) continue;
    Desk of_peer = desk;
    of_peer.peer = peer;
    sides.push_back(TRY(desk_side(lab, of_peer, writing)));
  }
  return sides;
}

Result<Side> native_side(Lab& lab, const std::string& name, const Writing& writing) {
  const std::string native = TRY(lab.work().directory("native-" + name));
  Side side{.name = "native", .how = "the same in a directory of the cache's disk"};
  side.prepare = [native] { return empty_folder(native); };
  side.run = [native, writing] { return writing(native, [] { return Result<void>(); }); };
  return side;
}

}  // namespace netfs::bench
