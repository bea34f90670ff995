#include "daemon/cache_report.h"

#include <nlohmann/json.hpp>

#include "daemon/json_fields.h"
#include "daemon/status.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

const char* state_name(ObjectState state) {
  switch (state) {
    case ObjectState::kAbsent:
      return "absent";
    case ObjectState::kPartial:
      return "partial";
    case ObjectState::kComplete:
      return "complete";
    case ObjectState::kSealed:
      return "sealed";
    case ObjectState::kHandedOut:
      return "handed out";
    case ObjectState::kDead:
      return "dead";
  }
  return "?";
}

std::string in_hex(const std::string& bytes) {
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

json object_json(const cachefiles::ObjectInfo& object) {
  json made = {{"volume", object.volume_key},
               {"path", object.path},
               {"size_bytes", object.size_bytes},
               {"stored_bytes", object.stored_bytes},
               {"allocated_bytes", object.allocated_bytes},
               {"state", state_name(object.state)},
               {"last_use", object.last_use.seconds}};
  if (!is_utf8(object.path)) made["path_hex"] = in_hex(object.path);
  return made;
}

}  // namespace

Result<json> cache_list(cachefiles::CacheFiles& cache) {
  json objects = json::array();
  TRY(cache.list(
      [&](const cachefiles::ObjectInfo& object) { objects.push_back(object_json(object)); }));
  return json{{"objects", std::move(objects)}};
}

json cache_usage(const cachefiles::CacheFiles& cache) {
  return to_json(cache.usage());
}

Result<json> cache_drop(cachefiles::CacheFiles& cache, const std::string& volume,
                        const std::string& path) {
  const uint64_t dropped = TRY(cache.drop(volume, path));
  return json{{"dropped_objects", dropped}};
}

}  // namespace netfs::daemon
