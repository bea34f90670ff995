#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/mount_instance.h"
#include "daemon/status.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

std::string duration_text(Duration duration) {
  return format_duration(duration);
}

const char* write_text(WriteMode mode) {
  switch (mode) {
    case WriteMode::kNo:
      break;
    case WriteMode::kThrough:
      return "through";
    case WriteMode::kClose:
      return "close";
    case WriteMode::kBack:
      return "back";
  }
  return "no";
}

json options_json(const MountOptions& options) {
  json object = {{"read_only", options.read_only},
                 {"write", write_text(options.write)},
                 {"allow_other", options.allow_other},
                 {"timeout", duration_text(options.timeout)},
                 {"metadata_ttl", duration_text(options.metadata_ttl)},
                 {"negative_ttl", duration_text(options.negative_ttl)},
                 {"hot", duration_text(options.hot)},
                 {"revalidate", options.revalidate_behind ? "behind" : "first"},
                 {"immutable", options.immutable},
                 {"transport", options.over_ring ? "ring" : "device"},
                 {"verify", options.verify_always ? "always" : "sealing"}};
  switch (options.on_error) {
    case OnError::kError:
      object["on_error"] = "error";
      break;
    case OnError::kWait:
      object["on_error"] = "wait";
      break;
    case OnError::kStale:
      object["on_error"] = "stale";
      break;
  }
  object["symlinks"] = options.symlinks == Symlinks::kContain ? "contain" : "as-is";
  if (options.uid) object["uid"] = *options.uid;
  if (options.gid) object["gid"] = *options.gid;
  if (options.umask) object["umask"] = fmt::format("{:03o}", *options.umask);
  if (!options.simulate.empty()) object["simulate"] = options.simulate;
  for (const auto& [name, value] : options.origin) object["origin"][name] = value;
  return object;
}

// What waits to be uploaded.
json journal_json(const journal::JournalStatus& now) {
  json object = {{"pending_changes", now.pending},     {"pending_bytes", now.pending_bytes},
                 {"uploaded_changes", now.uploaded},   {"conflicts", now.conflicts},
                 {"changes_set_aside", now.set_aside}, {"upload_error", now.last_error}};
  const int64_t age = Clock::system().wall().seconds - now.oldest.seconds;
  object["oldest_s"] = now.pending > 0 ? std::max<int64_t>(age, 0) : 0;
  return object;
}

}  // namespace

json MountInstance::status() const {
  const Duration age = Clock::system().now() - since_;
  json object = {{"url", spec_.url},
                 {"mount_point", spec_.mount_point},
                 {"age_s", std::chrono::duration_cast<std::chrono::seconds>(age).count()},
                 {"volume", volume_key_},
                 {"options", options_json(spec_.options)},
                 {"cached", cache_ != nullptr},
                 {"bandwidth_limit", {{"up", limit().up}, {"down", limit().down}}}};
  json& origin = object["origin"];
  origin = json::array();
  for (const auto& [name, value] : origin_->status()) {
    origin.push_back({{"name", name}, {"value", value}});
  }
  add_library(object, library_->stats());
  if (back_) object["journal"] = journal_json(back_->status());
  add_file_system(object, *file_system_);
  if (serving_) add_session(object, *session_, *channel_);
  add_live(object, serving_ ? session_.get() : nullptr, *library_);
  return object;
}

}  // namespace netfs::daemon
