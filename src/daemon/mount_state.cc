#include "daemon/mount_state.h"

#include "daemon/control_message.h"
#include "daemon/json_fields.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

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

}  // namespace

std::string encode(const MountState& state) {
  json object{{"url", state.url}, {"mount_point", state.mount_point}, {"options", state.options}};
  if (state.negotiated) object["negotiated"] = encode_negotiated(*state.negotiated);
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
  return state;
}

}  // namespace netfs::daemon
