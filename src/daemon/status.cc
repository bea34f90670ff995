#include "daemon/status.h"

#include <array>
#include <cstdio>
#include <memory>
#include <unistd.h>

#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

double in_us(Duration duration) {
  return static_cast<double>(duration.count()) / 1e3;
}
double in_s(Duration duration) {
  return static_cast<double>(duration.count()) / 1e9;
}

constexpr std::array<std::pair<vfs::NotHandedOut, const char*>, 5> kNotHandedOut = {
    {{vfs::NotHandedOut::kNotNegotiated, "not_negotiated"},
     {vfs::NotHandedOut::kNotSealed, "not_sealed"},
     {vfs::NotHandedOut::kHot, "hot"},
     {vfs::NotHandedOut::kOpenOtherwise, "open_otherwise"},
     {vfs::NotHandedOut::kRefused, "refused"}}};

}  // namespace

json to_json(const telemetry::Triplet& triplet) {
  return {{"issued", triplet.issued.get()},
          {"done", triplet.done.get()},
          {"failed", triplet.failed.get()}};
}

json to_json(const telemetry::LatencyHistogram& histogram) {
  return {{"count", histogram.count()},
          {"p50_us", in_us(histogram.percentile(0.5))},
          {"p90_us", in_us(histogram.percentile(0.9))},
          {"p99_us", in_us(histogram.percentile(0.99))}};
}

json to_json(const CacheUsage& usage) {
  return {{"limit_bytes", usage.limit_bytes},           {"used_bytes", usage.used_bytes},
          {"object_count", usage.object_count},         {"sealed_count", usage.sealed_count},
          {"stored_blocks", usage.stored_blocks},       {"culled_objects", usage.culled_objects},
          {"damaged_blocks", usage.damaged_blocks},     {"scrubbed_bytes", usage.scrubbed_bytes},
          {"disabled_objects", usage.disabled_objects}, {"no_space", usage.no_space}};
}

json to_json(const OffloadStats& stats) {
  json object = to_json(stats.stores);
  object["dropped"] = stats.dropped.get();
  object["stored_bytes"] = stats.stored_bytes.get();
  object["queued_bytes"] = stats.queued_bytes.load();
  object["discards"] = stats.discards.get();
  object["forgets"] = stats.forgets.get();
  object["commits"] = to_json(stats.commits);
  object["latency"] = to_json(stats.store_latency);
  return object;
}

void add_library(json& mount, const LibraryStats& stats) {
  mount["hits"] = stats.hits.get();
  mount["misses"] = stats.misses.get();
  mount["bytes"] = {{"zero_bytes", stats.bytes_zero.get()},
                    {"memory_bytes", stats.bytes_memory.get()},
                    {"cache_bytes", stats.bytes_cache.get()},
                    {"origin_bytes", stats.bytes_origin.get()},
                    {"downloaded_bytes", stats.bytes_downloaded.get()},
                    {"written_bytes", stats.bytes_written.get()},
                    {"dirty_bytes", stats.bytes_dirty.load()},
                    {"lost_bytes", stats.bytes_lost.get()},
                    {"uploaded_bytes", stats.bytes_uploaded.get()}};
  mount["reads"] = to_json(stats.reads);
  mount["writes"] = to_json(stats.writes);
  mount["origin_writes"] = to_json(stats.origin_writes);
  mount["changes"] = to_json(stats.changes);
  mount["foreign_changes"] = stats.foreign_changes.get();
  mount["forgotten"] = stats.forgotten.get();
  mount["cache_reads"] = to_json(stats.cache_reads);
  mount["origin_reads"] = to_json(stats.origin_reads);
  mount["origin_reads"]["open"] = stats.subrequests_open.load();
  mount["origin_opens"] = to_json(stats.origin_opens);
  mount["confirmations"] = to_json(stats.confirmations);
  mount["errors"] = {
      {"retries", stats.retries.get()},       {"short_reads", stats.short_reads.get()},
      {"over_reads", stats.over_reads.get()}, {"timeouts", stats.timeouts.get()},
      {"stale", stats.stale.get()},           {"cache_failures", stats.cache_failures.get()},
      {"canceled", stats.canceled.get()}};
  mount["readahead"] = {{"issued_bytes", stats.readahead_bytes_issued.get()},
                        {"used_bytes", stats.readahead_bytes_used.get()},
                        {"wasted_bytes", stats.readahead_bytes_wasted.get()},
                        {"cut_for_memory", stats.readahead_no_memory.get()}};
  mount["not_kept"] = {{"racy", stats.stores_racy.get()},
                       {"unverified", stats.stores_unverified.get()}};
  mount["latency"] = {{"hit", to_json(stats.hit_latency)},
                      {"miss", to_json(stats.miss_latency)},
                      {"write", to_json(stats.write_latency)},
                      {"origin", to_json(stats.origin_latency)}};
}

void add_session(json& mount, const fuse::Session& session, const fuse::KernelChannel& channel) {
  const std::optional<fuse::Negotiated> negotiated = session.negotiated();
  json& transport = mount["transport"];
  transport = {{"kind", channel.over_ring() ? "io_uring" : "classic queue"},
               {"queues", channel.queue_count()}};
  mount["features"] = json::array();
  if (negotiated) {
    transport["protocol"] =
        fmt::format("{}.{}", negotiated->kernel_major, negotiated->kernel_minor);
    transport["max_read_bytes"] = negotiated->max_read_bytes();
    transport["max_readahead_bytes"] = negotiated->max_readahead_bytes;
    transport["max_stack_depth"] = negotiated->max_stack_depth;
    for (const fuse::Feature& feature : fuse::describe(*negotiated, session.options())) {
      mount["features"].push_back(
          {{"name", feature.name}, {"on", feature.on}, {"why_not", feature.why_not}});
    }
  }
  const fuse::SessionCounters& counters = session.counters();
  json& operations = mount["operations"];
  operations = json::object();
  for (uint32_t code = 0; code < counters.ops.size(); ++code) {
    const fuse::OpCounters& op = counters.ops[code];
    if (op.count.issued.get() == 0) continue;
    json entry = to_json(op.count);
    entry["latency"] = to_json(op.latency);
    operations[std::string(operation_name(code))] = std::move(entry);
  }
  mount["protocol_errors"] = {{"undecodable", counters.undecodable.get()},
                              {"unknown_opcodes", counters.unknown_opcodes.get()},
                              {"send_failures", counters.send_failures.get()},
                              {"unanswered", counters.dropped_replies.get()}};
  mount["interrupts"] = counters.interrupts.get();
}

void add_file_system(json& mount, vfs::FileSystem& file_system) {
  const vfs::Counters& counters = file_system.counters();
  const vfs::Sizes sizes = file_system.sizes();
  mount["files_ahead"] = {{"fetched", counters.ahead_files.get()},
                          {"used", counters.ahead_files_used.get()},
                          {"wasted", counters.ahead_files_wasted.get()},
                          {"fetched_bytes", counters.ahead_bytes.get()},
                          {"wasted_bytes", counters.ahead_bytes_wasted.get()}};
  json& lost = mount["bytes"]["lost_bytes"];
  lost = lost.get<uint64_t>() + counters.bytes_lost.get();
  json& timeouts = mount["errors"]["timeouts"];
  timeouts = timeouts.get<uint64_t>() + counters.timeouts.get();
  mount["names"] = {{"lookups", counters.lookups.get()},
                    {"lookup_hits", counters.lookup_hits.get()},
                    {"negative_hits", counters.negative_hits.get()},
                    {"revalidations", counters.revalidations.get()},
                    {"listings", counters.listings.get()},
                    {"stored_listings", counters.stored_listings.get()},
                    {"stored_names", counters.stored_names.get()},
                    {"shown_first", counters.shown_first.get()},
                    {"ahead_listings", counters.ahead_listings.get()},
                    {"ahead_used", counters.ahead_used.get()},
                    {"ahead_wasted", counters.ahead_wasted.get()},
                    {"coalesced", counters.coalesced.get()},
                    {"versions_changed", counters.versions_changed.get()},
                    {"stale_nodes", counters.stale_nodes.get()},
                    {"refused", counters.refused_names.get()},
                    {"refused_links", counters.refused_links.get()},
                    {"served_stale", counters.served_stale.get()},
                    {"origin_errors", counters.origin_errors.get()},
                    {"nodes", sizes.nodes},
                    {"handles", sizes.handles},
                    {"waiting", sizes.waiting},
                    {"ino_collisions", sizes.ino_collisions}};
  json& opens = mount["opens"];
  opens = {{"all", counters.opens.get()}, {"passthrough", counters.opens_handed_out.get()}};
  for (const auto& [reason, name] : kNotHandedOut) {
    opens["why_not"][name] = counters.not_handed_out[static_cast<size_t>(reason)].get();
  }
  mount["locks"] = {{"taken", counters.locks.get()},
                    {"waited", counters.locks_waited.get()},
                    {"refused", counters.locks_refused.get()},
                    {"lost", counters.locks_lost.get()},
                    {"not_kept", counters.locks_not_kept.get()},
                    {"files", sizes.locked_files},
                    {"owners", sizes.lock_owners},
                    {"waiting", sizes.lock_waiters}};
  mount["refused_names"] = file_system.refused_names();
}

void add_live(json& mount, const fuse::Session* session, const Library& library) {
  json& requests = mount["requests"];
  requests = json::array();
  if (session != nullptr) {
    for (const fuse::LiveRequest& request : session->live()) {
      requests.push_back({{"unique", request.unique},
                          {"operation", operation_name(static_cast<uint32_t>(request.opcode))},
                          {"node", request.node.value},
                          {"pid", request.pid},
                          {"age_s", in_s(request.age)}});
    }
  }
  json& reads = mount["library_requests"];
  reads = json::array();
  for (const LiveRequest& request : library.live_requests()) {
    reads.push_back({{"id", request.id},
                     {"path", request.path},
                     {"offset", request.range.offset_bytes},
                     {"length", request.range.length_bytes},
                     {"age_s", in_s(request.age)},
                     {"waits_for", request.waits_for}});
  }
}

std::string_view operation_name(uint32_t opcode) {
  static constexpr std::array<std::string_view, 54> kNames = {"other",        "lookup",
                                                              "forget",       "getattr",
                                                              "setattr",      "readlink",
                                                              "symlink",      "7",
                                                              "mknod",        "mkdir",
                                                              "unlink",       "rmdir",
                                                              "rename",       "link",
                                                              "open",         "read",
                                                              "write",        "statfs",
                                                              "release",      "19",
                                                              "fsync",        "setxattr",
                                                              "getxattr",     "listxattr",
                                                              "removexattr",  "flush",
                                                              "init",         "opendir",
                                                              "readdir",      "releasedir",
                                                              "fsyncdir",     "getlk",
                                                              "setlk",        "setlkw",
                                                              "access",       "create",
                                                              "interrupt",    "bmap",
                                                              "destroy",      "ioctl",
                                                              "poll",         "notify_reply",
                                                              "batch_forget", "fallocate",
                                                              "readdirplus",  "rename2",
                                                              "lseek",        "copy_file_range",
                                                              "setupmapping", "removemapping",
                                                              "syncfs",       "tmpfile",
                                                              "statx",        "copy_file_range_64"};
  return opcode < kNames.size() ? kNames[opcode] : "other";
}

uint64_t resident_bytes() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/self/statm", "re"),
                                                             std::fclose);
  unsigned long all = 0;
  unsigned long resident = 0;
  if (!file || std::fscanf(file.get(), "%lu %lu", &all, &resident) != 2) return 0;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace netfs::daemon
