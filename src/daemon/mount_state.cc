#include "daemon/mount_state.h"

#include "daemon/control_message.h"
#include "daemon/json_fields.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

constexpr size_t kVolumeKeyBytesMax = 4 * kPathBytesMax;  // escaped, and with options

// Flags are 64 bits wide, more than a JSON number safely has.
Result<uint64_t> hex_field(const json& object, const char* name) {
  const std::string text = TRY(string_field(object, name, 16));
  char* end = nullptr;
  const uint64_t value = std::strtoull(text.c_str(), &end, 16);
  if (text.empty() || *end != '\0') return Error(EPROTO, "mount_state", name);
  return value;
}

Result<uint32_t> word_field(const json& object, const char* name) {
  return static_cast<uint32_t>(TRY(int_field(object, name, 0, UINT32_MAX)));
}

json encode_negotiated(const fuse::Negotiated& negotiated) {
  return {{"major", negotiated.kernel_major},
          {"minor", negotiated.kernel_minor},
          {"offered", fmt::format("{:x}", negotiated.offered_flags)},
          {"flags", fmt::format("{:x}", negotiated.flags)},
          {"max_write", negotiated.max_write_bytes},
          {"max_readahead", negotiated.max_readahead_bytes},
          {"max_pages", negotiated.max_pages},
          {"max_stack_depth", negotiated.max_stack_depth},
          {"max_background", negotiated.max_background},
          {"passthrough", negotiated.passthrough}};
}

Result<fuse::Negotiated> decode_negotiated(const json& object) {
  fuse::Negotiated negotiated;
  negotiated.kernel_major = TRY(word_field(object, "major"));
  negotiated.kernel_minor = TRY(word_field(object, "minor"));
  negotiated.offered_flags = TRY(hex_field(object, "offered"));
  negotiated.flags = TRY(hex_field(object, "flags"));
  negotiated.max_write_bytes = TRY(word_field(object, "max_write"));
  negotiated.max_readahead_bytes = TRY(word_field(object, "max_readahead"));
  negotiated.max_pages = TRY(word_field(object, "max_pages"));
  negotiated.max_stack_depth = TRY(word_field(object, "max_stack_depth"));
  negotiated.max_background = TRY(word_field(object, "max_background"));
  negotiated.passthrough = TRY(bool_field(object, "passthrough"));
  return negotiated;
}

json encode_origin(const KnownOrigin& origin) {
  const OriginCapabilities& can = origin.capabilities;
  json object{{"volume", origin.volume_key},
              {"root", origin.root_identity},
              {"range_reads", can.range_reads},
              {"parallel_reads", can.parallel_reads},
              {"validators", static_cast<int>(can.validator_strength)},
              {"granularity", can.validator_granularity.count()},
              {"identity", can.identity},
              {"handles_outlive", can.handles_outlive_connections},
              {"notifies", can.change_notification},
              {"read_bytes", can.read_bytes_max},
              {"reads_ahead", can.reads_ahead},
              {"listings_ahead", can.listings_ahead},
              {"files_ahead", can.files_ahead},
              {"opens_by_read", can.opens_by_read},
              {"locks_end", can.locks_end_with_process},
              {"locks", origin.locks},
              {"mount_id", origin.mount_id}};
  if (!origin.writes) return object;
  object["writes"] = {{"write_bytes", origin.writes->write_bytes_max},
                      {"outlive_names", origin.writes->files_outlive_names},
                      {"by_handle", origin.writes->changes_by_handle},
                      {"sets_validator", origin.writes->validator_can_be_set},
                      {"xattrs", origin.writes->extended_attributes},
                      {"acls", origin.writes->posix_acls},
                      {"holes", origin.writes->tells_holes},
                      {"copies", origin.writes->copies},
                      {"nameless", origin.writes->nameless_files}};
  return object;
}

// An ability that the process before knew nothing of was none of its origin's.
bool can_flag(const json& object, const char* name) {
  const Result<bool> said = bool_field(object, name);
  return said.ok() && said.value();
}

Result<WriteCapabilities> decode_writes(const json& object) {
  WriteCapabilities can;
  can.write_bytes_max = static_cast<uint64_t>(TRY(int_field(object, "write_bytes", 0, INT64_MAX)));
  can.files_outlive_names = can_flag(object, "outlive_names");
  can.changes_by_handle = can_flag(object, "by_handle");
  can.validator_can_be_set = can_flag(object, "sets_validator");
  can.extended_attributes = can_flag(object, "xattrs");
  can.posix_acls = can_flag(object, "acls");
  can.tells_holes = can_flag(object, "holes");
  can.copies = can_flag(object, "copies");
  can.nameless_files = can_flag(object, "nameless");
  return can;
}

Result<KnownOrigin> decode_origin(const json& object) {
  KnownOrigin origin;
  origin.volume_key = TRY(string_field(object, "volume", kVolumeKeyBytesMax));
  origin.root_identity = TRY(string_field(object, "root", kPathBytesMax));
  OriginCapabilities& can = origin.capabilities;
  can.range_reads = can_flag(object, "range_reads");
  can.parallel_reads = can_flag(object, "parallel_reads");
  can.validator_strength = static_cast<ValidatorStrength>(
      TRY(int_field(object, "validators", 0, static_cast<int>(ValidatorStrength::kStrong))));
  can.validator_granularity = Duration(TRY(int_field(object, "granularity", 0, INT64_MAX)));
  can.identity = can_flag(object, "identity");
  can.handles_outlive_connections = can_flag(object, "handles_outlive");
  can.change_notification = can_flag(object, "notifies");
  can.read_bytes_max = static_cast<uint64_t>(TRY(int_field(object, "read_bytes", 0, INT64_MAX)));
  can.reads_ahead = TRY(word_field(object, "reads_ahead"));
  can.listings_ahead = TRY(word_field(object, "listings_ahead"));
  can.files_ahead = can_flag(object, "files_ahead");
  can.opens_by_read = can_flag(object, "opens_by_read");
  can.locks_end_with_process = can_flag(object, "locks_end");
  origin.locks = can_flag(object, "locks");
  // A process of before may have known of none.
  Result<std::string> mount_id = string_field(object, "mount_id", kPathBytesMax);
  if (mount_id.ok()) origin.mount_id = std::move(mount_id).value();
  const auto writes = object.find("writes");
  if (writes != object.end() && writes->is_object()) origin.writes = TRY(decode_writes(*writes));
  return origin;
}

}  // namespace

std::string encode(const MountState& state) {
  json object{{"url", state.url}, {"mount_point", state.mount_point}, {"options", state.options}};
  if (state.negotiated) object["negotiated"] = encode_negotiated(*state.negotiated);
  if (state.origin) object["origin"] = encode_origin(*state.origin);
  return dump_message(object);
}

Result<MountState> decode_mount_state(std::string_view text) {
  const json object = TRY(parse_message(text));
  MountState state;
  state.url = TRY(string_field(object, "url", kPathBytesMax));
  state.mount_point = TRY(string_field(object, "mount_point", kPathBytesMax));
  state.options = TRY(map_field(object, "options", kOptionsMax, kPathBytesMax));
  const auto negotiated = object.find("negotiated");
  if (negotiated != object.end() && negotiated->is_object()) {
    state.negotiated = TRY(decode_negotiated(*negotiated));
  }
  const auto origin = object.find("origin");
  if (origin != object.end() && origin->is_object()) {
    // Of one that is not understood nothing is known: it has to be there.
    Result<KnownOrigin> known = decode_origin(*origin);
    if (known.ok()) state.origin = std::move(known).value();
  }
  return state;
}

}  // namespace netfs::daemon
