#include "daemon/owner_settings.h"

#include "daemon/control_message.h"
#include "daemon/json_fields.h"

namespace netfs::daemon {

std::string encode_owner_settings(const OptionMap& options, const std::string& log_file) {
  return dump_message(nlohmann::json{{"options", options}, {"log_file", log_file}});
}

Result<OwnerSettings> decode_owner_settings(std::string_view text) {
  const nlohmann::json object = TRY(parse_message(text));
  OwnerSettings settings;
  const OptionMap map = TRY(map_field(object, "options", kOptionsMax, kPathBytesMax));
  settings.options = TRY(parse_options(map));
  settings.log_file = TRY(string_field(object, "log_file", kPathBytesMax));
  return settings;
}

}  // namespace netfs::daemon
