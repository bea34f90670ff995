#include "cli/status_text.h"

#include <nlohmann/json.hpp>

#include "daemon/quantity.h"
#include "telemetry/log.h"

namespace netfs::cli {

namespace {

using daemon::format_bytes;
using daemon::format_duration;
using nlohmann::json;

// The value at "a/b", or null.
const json& at(const json& object, const std::string& path) {
  static const json kNull;
  const json* here = &object;
  size_t begin = 0;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (!here->is_object()) return kNull;
    const auto it = here->find(path.substr(begin, end - begin));
    if (it == here->end()) return kNull;
    here = &*it;
    begin = end + 1;
  }
  return *here;
}

uint64_t number(const json& object, const std::string& path) {
  const json& value = at(object, path);
  return value.is_number_unsigned() || value.is_number_integer() ? value.get<uint64_t>() : 0;
}

std::string text(const json& object, const std::string& path) {
  const json& value = at(object, path);
  return value.is_string() ? printable(value.get<std::string>()) : std::string();
}

std::string bytes(const json& object, const std::string& path) {
  return format_bytes(number(object, path));
}

std::string latency(const json& object, const std::string& path) {
  const auto one = [&](const char* name) {
    const json& value = at(object, path + "/" + name);
    const double us = value.is_number() ? value.get<double>() : 0;
    return format_duration(Duration(static_cast<int64_t>(us * 1e3)));
  };
  return fmt::format("{} / {} / {}", one("p50_us"), one("p90_us"), one("p99_us"));
}

std::string age(const json& object, const std::string& path) {
  const json& value = at(object, path);
  const double seconds = value.is_number() ? value.get<double>() : 0;
  return format_duration(Duration(static_cast<int64_t>(seconds * 1e9)));
}

void line(std::string& out, const char* name, const std::string& value) {
  if (!value.empty()) out += fmt::format("  {:<13}{}\n", name, value);
}

std::string options_line(const json& mount) {
  std::string words;
  for (const auto& [name, value] : at(mount, "options").items()) {
    if (value.is_object()) {
      for (const auto& [key, item] : value.items()) {
        words += fmt::format("{}={} ", printable(key), item.is_string() ? printable(item) : "");
      }
    } else if (value.is_string()) {
      words += fmt::format("{}={} ", name, printable(value));
    } else if (value.is_number()) {
      words += fmt::format("{}={} ", name, value.dump());
    } else if (value == true) {
      words += name + " ";
    }
  }
  return words;
}

void add_features(std::string& out, const json& mount) {
  std::string on;
  std::string off;
  for (const json& feature : at(mount, "features")) {
    const std::string name = text(feature, "name");
    if (at(feature, "on") == true) {
      on += (on.empty() ? "" : ", ") + name;
    } else {
      off += fmt::format("{}{} ({})", off.empty() ? "" : ", ", name, text(feature, "why_not"));
    }
  }
  line(out, "features", on);
  line(out, "without", off);
}

void add_requests(std::string& out, const json& mount) {
  for (const json& request : at(mount, "requests")) {
    line(out, "in flight",
         fmt::format("{} of node {} for process {}, {} old", text(request, "operation"),
                     number(request, "node"), number(request, "pid"), age(request, "age_s")));
  }
  for (const json& request : at(mount, "library_requests")) {
    line(out, "request",
         fmt::format("{} at {} for {}, {} old, waits for {}", text(request, "path"),
                     number(request, "offset"), bytes(request, "length"), age(request, "age_s"),
                     text(request, "waits_for")));
  }
}

void add_mount(std::string& out, const json& mount) {
  out += fmt::format("{} on {}\n", text(mount, "url"), text(mount, "mount_point"));
  for (const json& field : at(mount, "origin")) {
    line(out, "origin", fmt::format("{}: {}", text(field, "name"), text(field, "value")));
  }
  line(out, "options", options_line(mount));
  line(out, "transport",
       fmt::format("{}, {} queues, protocol {}, stack depth {}", text(mount, "transport/kind"),
                   number(mount, "transport/queues"), text(mount, "transport/protocol"),
                   number(mount, "transport/max_stack_depth")));
  add_features(out, mount);
  line(out, "reads",
       fmt::format("{} hits, {} misses", number(mount, "hits"), number(mount, "misses")));
  line(out, "bytes",
       fmt::format("{} cache, {} memory, {} origin, {} zeroes; {} downloaded",
                   bytes(mount, "bytes/cache_bytes"), bytes(mount, "bytes/memory_bytes"),
                   bytes(mount, "bytes/origin_bytes"), bytes(mount, "bytes/zero_bytes"),
                   bytes(mount, "bytes/downloaded_bytes")));
  if (text(mount, "options/write") != "no") {
    line(out, "writes",
         fmt::format("{}, {} written; {} changes of names and attributes; {} failed",
                     number(mount, "writes/issued"), bytes(mount, "bytes/written_bytes"),
                     number(mount, "changes/issued"),
                     number(mount, "writes/failed") + number(mount, "changes/failed")));
    line(out, "uploads",
         fmt::format("{} on their way to the origin, {} lost", bytes(mount, "bytes/dirty_bytes"),
                     bytes(mount, "bytes/lost_bytes")));
  }
  line(out, "opens",
       fmt::format("{}, {} by passthrough", number(mount, "opens/all"),
                   number(mount, "opens/passthrough")));
  line(out, "names",
       fmt::format("{} lookups, {} from memory; {} asked of the origin, {} listings",
                   number(mount, "names/lookups"), number(mount, "names/lookup_hits"),
                   number(mount, "names/revalidations"), number(mount, "names/listings")));
  if (number(mount, "files_ahead/fetched") > 0) {
    line(out, "files ahead",
         fmt::format("{} fetched, {} of them read; {} wasted", number(mount, "files_ahead/fetched"),
                     number(mount, "files_ahead/used"), bytes(mount, "files_ahead/wasted_bytes")));
  }
  line(out, "latency", "p50 / p90 / p99");
  line(out, "  hit", latency(mount, "latency/hit"));
  line(out, "  miss", latency(mount, "latency/miss"));
  line(out, "  origin", latency(mount, "latency/origin"));
  if (number(mount, "writes/issued") > 0) line(out, "  write", latency(mount, "latency/write"));
  line(out, "trouble",
       fmt::format("{} failed reads, {} retries, {} time-outs, {} cache failures, {} bad names",
                   number(mount, "reads/failed"), number(mount, "errors/retries"),
                   number(mount, "errors/timeouts"), number(mount, "errors/cache_failures"),
                   number(mount, "names/refused")));
  add_requests(out, mount);
}

}  // namespace

std::string printable(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string status_text(const json& owner) {
  std::string out;
  for (const json& mount : at(owner, "mounts")) add_mount(out, mount);
  const std::string cache = text(owner, "cache_dir");
  out += cache.empty() ? "no cache\n" : fmt::format("cache {}\n", cache);
  if (!text(owner, "no_cache").empty()) line(out, "not used", text(owner, "no_cache"));
  if (at(owner, "cache").is_object()) {
    line(out, "space",
         fmt::format("{} of {}, {} files, {} complete", bytes(owner, "cache/used_bytes"),
                     bytes(owner, "cache/limit_bytes"), number(owner, "cache/object_count"),
                     number(owner, "cache/sealed_count")));
    line(out, "stores",
         fmt::format("{} issued, {} done, {} failed, {} dropped", number(owner, "stores/issued"),
                     number(owner, "stores/done"), number(owner, "stores/failed"),
                     number(owner, "stores/dropped")));
    line(out, "damage",
         fmt::format("{} blocks, {} files disabled, {} stores without space",
                     number(owner, "cache/damaged_blocks"), number(owner, "cache/disabled_objects"),
                     number(owner, "cache/no_space")));
  }
  line(out, "daemon",
       fmt::format(
           "pid {}, netfs {} (supervisor: {}), {} old, {} restarts, memory {}, buffers {} of {}",
           number(owner, "pid"), text(owner, "netfs"), text(owner, "supervisor_netfs"),
           age(owner, "uptime_s"), number(owner, "worker_restarts"),
           bytes(owner, "memory/resident_bytes"), bytes(owner, "memory/buffers_used_bytes"),
           bytes(owner, "memory/buffers_budget_bytes")));
  return out;
}

json dirty_json(const json& owners) {
  json mounts = json::array();
  for (const json& owner : owners) {
    for (const json& mount : at(owner, "mounts")) {
      if (text(mount, "options/write") == "no") continue;
      json one = {{"url", at(mount, "url")},
                  {"mount_point", at(mount, "mount_point")},
                  {"pending_changes", number(mount, "journal/pending_changes")},
                  {"pending_bytes",
                   number(mount, "journal/pending_bytes") + number(mount, "bytes/dirty_bytes")},
                  {"oldest_s", number(mount, "journal/oldest_s")},
                  {"conflicts", number(mount, "journal/conflicts")},
                  {"changes_set_aside", number(mount, "journal/changes_set_aside")}};
      const std::string error = text(mount, "journal/upload_error");
      if (!error.empty()) one["upload_error"] = error;
      mounts.push_back(std::move(one));
    }
  }
  return {{"mounts", std::move(mounts)}};
}

std::string dirty_text(const json& dirty) {
  std::string out;
  for (const json& mount : at(dirty, "mounts")) {
    out += fmt::format("{} on {}: ", text(mount, "url"), text(mount, "mount_point"));
    const uint64_t changes = number(mount, "pending_changes");
    const uint64_t waiting = number(mount, "pending_bytes");
    // Only a journal counts changes.
    if (changes > 0) out += fmt::format("{} {}, ", changes, changes == 1 ? "change" : "changes");
    out += changes == 0 && waiting == 0 ? "nothing waits" : format_bytes(waiting);
    if (changes > 0) out += fmt::format(", the oldest {} old", age(mount, "oldest_s"));
    const std::string error = text(mount, "upload_error");
    if (!error.empty()) out += fmt::format("; the upload waits: {}", error);
    const uint64_t conflicts = number(mount, "conflicts");
    const uint64_t aside = number(mount, "changes_set_aside");
    if (conflicts > 0) {
      out += fmt::format("; {} {}", conflicts, conflicts == 1 ? "conflict" : "conflicts");
    }
    if (aside > 0)
      out += fmt::format("; {} {} set aside", aside, aside == 1 ? "change" : "changes");
    out += "\n";
  }
  return out.empty() ? "nothing that is written to is mounted\n" : out;
}

}  // namespace netfs::cli
