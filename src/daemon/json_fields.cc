#include "daemon/json_fields.h"

#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

Error bad_field(const char* name, const char* what) {
  return Error(EPROTO, "control", fmt::format("field '{}' {}", name, what));
}

}  // namespace

Result<json> parse_object(std::string_view text) {
  if (text.size() > kJsonBytesMax) return Error(EPROTO, "control", "message too long");
  json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return Error(EPROTO, "control", "message is not a JSON object");
  return object;
}

Result<std::string> string_field(const json& object, const char* name, size_t bytes_max) {
  const auto it = object.find(name);
  if (it == object.end()) return bad_field(name, "is missing");
  const auto* text = it->get_ptr<const std::string*>();
  if (text == nullptr) return bad_field(name, "is not a string");
  if (text->size() > bytes_max) return bad_field(name, "is too long");
  return *text;
}

Result<int64_t> int_field(const json& object, const char* name, int64_t min, int64_t max) {
  const auto it = object.find(name);
  if (it == object.end()) return bad_field(name, "is missing");
  const auto* number = it->get_ptr<const json::number_integer_t*>();
  if (number == nullptr) return bad_field(name, "is not a whole number");
  if (it->is_number_unsigned() && *it->get_ptr<const json::number_unsigned_t*>() > INT64_MAX) {
    return bad_field(name, "is out of range");
  }
  if (*number < min || *number > max) return bad_field(name, "is out of range");
  return *number;
}

Result<bool> bool_field(const json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end()) return bad_field(name, "is missing");
  const auto* flag = it->get_ptr<const json::boolean_t*>();
  if (flag == nullptr) return bad_field(name, "is not a boolean");
  return *flag;
}

Result<std::map<std::string, std::string>> map_field(const json& object, const char* name,
                                                     size_t count_max, size_t bytes_max) {
  const auto it = object.find(name);
  if (it == object.end()) return bad_field(name, "is missing");
  if (!it->is_object()) return bad_field(name, "is not an object");
  if (it->size() > count_max) return bad_field(name, "has too many entries");
  std::map<std::string, std::string> map;
  for (const auto& [key, value] : it->items()) {
    const auto* text = value.get_ptr<const std::string*>();
    if (text == nullptr) return bad_field(name, "holds something that is not a string");
    if (key.size() > bytes_max || text->size() > bytes_max) return bad_field(name, "is too long");
    map[key] = *text;
  }
  return map;
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace netfs::daemon
