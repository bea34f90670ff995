#include "harness/mount_status.h"

#include <chrono>
#include <fcntl.h>
#include <time.h>

#include "base/unique_fd.h"
#include "harness/page_cache.h"
#include "harness/process.h"

namespace netfs::bench {

namespace {

using nlohmann::json;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kStatusTimeout{20};
constexpr std::chrono::seconds kConnectedTimeout{10};
constexpr std::chrono::seconds kStoredTimeout{60};
constexpr std::chrono::seconds kSealedTimeout{120};

void pause_a_little() {
  timespec time{.tv_sec = 0, .tv_nsec = 200'000'000};
  ::nanosleep(&time, nullptr);
}

// The first object, at any depth, that has this key; null: none.
const json* object_with(const json& value, const std::string& key) {
  if (!value.is_structured()) return nullptr;
  if (value.is_object() && value.contains(key)) return &value;
  for (const json& inner : value) {
    if (const json* found = object_with(inner, key)) return found;
  }
  return nullptr;
}

Error lacks(const char* what) {
  return Error(EPROTO, "bench.status", std::string("netfs status --json says nothing of ") + what);
}

Result<uint64_t> opens_handed_out(const StatusOf& mount) {
  json status = TRY(status_of(mount));
  const json* opens = object_with(status, "passthrough");
  if (opens == nullptr || !opens->at("passthrough").is_number()) return lacks("passthrough");
  return opens->at("passthrough").get<uint64_t>();
}

std::string why_not(const StatusOf& mount) {
  Result<json> status = status_of(mount);
  const json* reasons = status.ok() ? object_with(status.value(), "why_not") : nullptr;
  return reasons == nullptr ? "" : reasons->dump();
}

bool stores_are_over(const json& stores) {
  uint64_t ended = 0;
  for (const char* name : {"done", "failed", "dropped"}) ended += stores.value(name, uint64_t{0});
  const json commits = stores.value("commits", json::object());
  return stores.value("queued_bytes", uint64_t{1}) == 0 &&
         ended >= stores.value("issued", uint64_t{0}) &&
         commits.value("done", uint64_t{0}) + commits.value("failed", uint64_t{0}) >=
             commits.value("issued", uint64_t{0});
}

Result<void> open_all(const std::vector<FileSpec>& files) {
  for (const FileSpec& file : files) {
    UniqueFd fd(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return Error(errno, "bench.open", "cannot open " + file.path);
  }
  return {};
}

}  // namespace

Result<json> status_of(const StatusOf& mount) {
  std::string text = TRY(
      output_of({.argv = {mount.program, "status", mount.mount_point, "--json"}}, kStatusTimeout));
  json status = json::parse(text, nullptr, false);
  if (status.is_discarded()) return Error(EPROTO, "bench.status", "netfs status gave no JSON");
  return status;
}

Result<void> await_connected(const StatusOf& mount) {
  auto until = steady_clock::now() + kConnectedTimeout;
  while (steady_clock::now() < until) {
    json status = TRY(status_of(mount));
    const json* origin = object_with(status, "origin");
    if (origin == nullptr || !origin->at("origin").is_array()) return lacks("the origin");
    std::string connections;
    for (const json& line : origin->at("origin")) {
      if (line.value("name", "") == "connections") connections = line.value("value", "");
    }
    size_t of = connections.find(" of ");
    if (of == std::string::npos || connections.substr(0, of) == connections.substr(of + 4)) break;
    pause_a_little();
  }
  return {};
}

Result<void> await_stored(const StatusOf& mount) {
  auto until = steady_clock::now() + kStoredTimeout;
  for (unsigned quiet = 0; quiet < 2;) {
    json status = TRY(status_of(mount));
    const json* stores = object_with(status, "queued_bytes");
    if (stores == nullptr) return lacks("stores");
    // Twice in a row: between a store and its commit nothing is counted as under way.
    quiet = stores_are_over(*stores) ? quiet + 1 : 0;
    if (steady_clock::now() > until) {
      return Error(ETIMEDOUT, "bench.await_stored", "stores do not end: " + stores->dump());
    }
    pause_a_little();
    pause_a_little();
  }
  return {};
}

Result<void> await_uploaded(const StatusOf& mount) {
  constexpr std::chrono::seconds kUploadedTimeout{600};
  (void)TRY(output_of({.argv = {mount.program, "sync", mount.mount_point}}, kUploadedTimeout));
  return {};
}

Result<void> await_sealed(const StatusOf& mount, const std::vector<FileSpec>& files) {
  auto until = steady_clock::now() + kSealedTimeout;
  for (;;) {
    // What a full queue dropped is only stored when it is read once more.
    for (const FileSpec& file : files) TRY(warm_file(file.path));
    TRY(await_stored(mount));
    uint64_t before = TRY(opens_handed_out(mount));
    TRY(open_all(files));
    uint64_t handed_out = TRY(opens_handed_out(mount)) - before;
    if (handed_out >= files.size()) return {};
    if (steady_clock::now() > until) {
      return Error(ETIMEDOUT, "bench.await_sealed",
                   std::to_string(handed_out) + " of " + std::to_string(files.size()) +
                       " files are handed to the kernel; why not the others: " + why_not(mount));
    }
    pause_a_little();
  }
}

std::string what_it_fetched(const StatusOf& mount) {
  const Result<nlohmann::json> status = status_of(mount);
  if (!status.ok()) return status.error().message();
  const nlohmann::json& said = status.value()["mounts"][0];
  std::string line = "downloaded " + said["bytes"]["downloaded_bytes"].dump() + " bytes";
  for (const char* part : {"files_ahead", "names"}) {
    if (said.contains(part)) line += std::string("; ") + part + ": " + said[part].dump();
  }
  return line;
}

}  // namespace netfs::bench
