// What users ask of a worker's mounts: to forget, to upload, to be slower.

#include <charconv>
#include <nlohmann/json.hpp>

#include "daemon/bandwidth.h"
#include "daemon/cache_report.h"
#include "daemon/json_fields.h"
#include "daemon/worker.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

constexpr Duration kStoresTimeout = std::chrono::seconds(30);
constexpr Duration kSyncTurn = std::chrono::seconds(2);

}  // namespace

Response Worker::drop(const Request& request) {
  if (store_.cache() == nullptr) return failure_without_cache();
  std::string volume;
  std::string path = request.all ? "" : request.target;
  if (!path.empty() && path.front() == '/') {
    const std::vector<Ref<MountInstance>> mounts = mounts_.find(path);
    if (mounts.empty()) {
      return failure(
          Error(ENOENT, "cache", fmt::format("{} lies on no mount of this cache", path)));
    }
    volume = mounts.back()->volume_key();
    path = mounts.back()->origin_path(path).value_or("");
  } else if (!request.all && path.empty()) {
    return failure(Error(EINVAL, "options", "cache drop needs a path, or --all"));
  }
  const auto drop_in_mounts = [&] {
    for (const Ref<MountInstance>& mount : mounts_.find("")) {
      if (volume.empty() || mount->volume_key() == volume) mount->drop(path);
    }
  };
  // What is still on its way to the store would come after the drop.
  drop_in_mounts();
  if (!store_.offload()->drain(Deadline::within(kStoresTimeout))) {
    telemetry::log_warn(kRoom, "cache drop: stores are still under way");
  }
  Response response = with_body(cache_drop(*store_.cache(), volume, path));
  drop_in_mounts();
  return response;
}

// ETIMEDOUT: the asker asks again, as long as it likes to wait.
Response Worker::sync(const Request& request) {
  const std::vector<Ref<MountInstance>> mounts = mounts_.find(request.target);
  if (mounts.empty()) {
    return failure(
        Error(ENOENT, "sync", fmt::format("{} is no mount of this daemon", request.target)));
  }
  json upto = json::object();
  bool all = true;
  std::string why;
  for (const Ref<MountInstance>& mount : mounts) {
    const std::string& point = mount->spec().mount_point;
    const auto before = request.options.find(point);
    uint64_t last = 0;
    if (before != request.options.end()) {
      const std::string& text = before->second;
      (void)std::from_chars(text.data(), text.data() + text.size(), last);
    }
    if (!mount->sync(last, Deadline::within(kSyncTurn))) {
      all = false;
      if (why.empty()) why = mount->why_it_waits();
    }
    upto[point] = std::to_string(last);
  }
  if (!all) {
    const std::string reason = why.empty() ? "" : " (" + why + ")";
    Response response = failure(Error(
        ETIMEDOUT, "sync", "not all is uploaded" + reason + "; netfs status says what waits"));
    response.body = dump_message(upto);
    return response;
  }
  std::string troubles;
  for (const Ref<MountInstance>& mount : mounts) {
    for (const std::string& one : mount->take_troubles()) troubles += "\n  " + one;
  }
  if (troubles.empty()) return {};
  return failure(Error(EIO, "sync", "not all is at the origin as it was made here:" + troubles));
}

// With or without a new limit: how it is now, by mount point.
Response Worker::limit(const Request& request) {
  const auto asked = request.options.find("bwlimit");
  std::vector<Ref<MountInstance>> mounts;
  if (asked == request.options.end()) {
    mounts = mounts_.find(request.target);
  } else {
    const Result<Bandwidth> bandwidth = parse_bandwidth(asked->second);
    if (!bandwidth.ok()) return failure(bandwidth.error());
    mounts = mounts_.limit(request.target, bandwidth.value());
  }
  if (mounts.empty()) {
    return failure(
        Error(ENOENT, "bwlimit", fmt::format("{} is no mount of this daemon", request.target)));
  }
  json body = json::object();
  for (const Ref<MountInstance>& mount : mounts) {
    body[mount->spec().mount_point] = format_bandwidth(mount->limit());
  }
  return with_body(body);
}

}  // namespace netfs::daemon
