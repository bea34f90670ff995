#include "daemon/supervisor_message.h"

#include <charconv>

#include "daemon/json_fields.h"
#include "daemon/packet.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

constexpr int64_t kNumberMax = INT64_MAX;

}  // namespace

std::string encode(const WorkerMessage& message) {
  const fuse::MountOptions& mount = message.mount;
  return dump_message(json{{"verb", static_cast<int>(message.verb)},
                           {"id", message.id},
                           {"key", message.key},
                           {"mode", static_cast<int>(message.mode)},
                           {"state", message.state},
                           {"source", mount.source},
                           {"mount_point", mount.mount_point},
                           {"subtype", mount.subtype},
                           {"queues", mount.queues},
                           {"max_read", mount.max_read_bytes},
                           {"read_only", mount.read_only},
                           {"allow_other", mount.allow_other},
                           {"default_permissions", mount.default_permissions},
                           {"nosuid", mount.nosuid},
                           {"nodev", mount.nodev},
                           {"noexec", mount.noexec},
                           {"noatime", mount.noatime}});
}

std::string encode(const SupervisorMessage& message) {
  return dump_message(json{{"verb", static_cast<int>(message.verb)},
                           {"id", message.id},
                           {"held", message.held},
                           {"code", message.code},
                           {"arena", message.arena},
                           {"text", message.text},
                           {"version", message.version}});
}

Result<WorkerMessage> decode_worker_message(std::string_view text) {
  const json object = TRY(parse_message(text));
  WorkerMessage message;
  message.verb = static_cast<WorkerVerb>(
      TRY(int_field(object, "verb", 0, static_cast<int>(WorkerVerb::kDropDescriptor))));
  message.id = static_cast<uint64_t>(TRY(int_field(object, "id", 0, kNumberMax)));
  message.key = static_cast<uint64_t>(TRY(int_field(object, "key", 0, kNumberMax)));
  message.mode = static_cast<fuse::UnmountMode>(
      TRY(int_field(object, "mode", 0, static_cast<int>(fuse::UnmountMode::kForce))));
  message.state = TRY(string_field(object, "state", kPacketBytesMax));
  fuse::MountOptions& mount = message.mount;
  mount.source = TRY(string_field(object, "source", kPacketBytesMax));
  mount.mount_point = TRY(string_field(object, "mount_point", kPacketBytesMax));
  mount.subtype = TRY(string_field(object, "subtype", kPacketBytesMax));
  mount.queues = static_cast<unsigned>(TRY(int_field(object, "queues", 0, kPacketFdsMax)));
  mount.max_read_bytes = static_cast<uint32_t>(TRY(int_field(object, "max_read", 0, UINT32_MAX)));
  mount.read_only = TRY(bool_field(object, "read_only"));
  mount.allow_other = TRY(bool_field(object, "allow_other"));
  mount.default_permissions = TRY(bool_field(object, "default_permissions"));
  mount.nosuid = TRY(bool_field(object, "nosuid"));
  mount.nodev = TRY(bool_field(object, "nodev"));
  mount.noexec = TRY(bool_field(object, "noexec"));
  mount.noatime = TRY(bool_field(object, "noatime"));
  return message;
}

std::string encode_keys(const std::vector<uint64_t>& keys) {
  std::string text;
  for (const uint64_t key : keys) text += std::to_string(key) + " ";
  return text;
}

Result<std::vector<uint64_t>> decode_keys(std::string_view text) {
  std::vector<uint64_t> keys;
  while (!text.empty()) {
    uint64_t key = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), key);
    const auto length = static_cast<size_t>(end - text.data());
    const bool sound = error == std::errc() && length < text.size() && text[length] == ' ';
    if (!sound) return Error(EPROTO, "keys");
    keys.push_back(key);
    text.remove_prefix(length + 1);
  }
  return keys;
}

Result<SupervisorMessage> decode_supervisor_message(std::string_view text) {
  const json object = TRY(parse_message(text));
  SupervisorMessage message;
  message.verb = static_cast<SupervisorVerb>(
      TRY(int_field(object, "verb", 0, static_cast<int>(SupervisorVerb::kVersion))));
  message.id = static_cast<uint64_t>(TRY(int_field(object, "id", 0, kNumberMax)));
  message.held = static_cast<uint64_t>(TRY(int_field(object, "held", 0, kNumberMax)));
  message.code = static_cast<int>(TRY(int_field(object, "code", 0, 4095)));
  message.arena = TRY(bool_field(object, "arena"));
  message.text = TRY(string_field(object, "text", kPacketBytesMax));
  message.version = TRY(string_field(object, "version", kPacketBytesMax));
  return message;
}

}  // namespace netfs::daemon
