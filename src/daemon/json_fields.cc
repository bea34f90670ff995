#include "daemon/json_fields.h"

#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

Error bad_field(const char* name, const char* what) {
  return Error(EPROTO, "control", fmt::format("field '{}' {}", name, what));
}

std::string to_text(const std::string& bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      text += c;
    } else {
      text += static_cast<char>(0xc0 | (byte >> 6));
      text += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return text;
}

// The parser has seen to it that the text is UTF-8.
Result<std::string> to_bytes(const std::string& text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      bytes += text[i];
    } else if (byte <= 0xc3 && i + 1 < text.size()) {
      bytes += static_cast<char>(((byte & 0x03) << 6) | (text[++i] & 0x3f));
    } else {
      return Error(EPROTO, "control", "a string holds a character that stands for no byte");
    }
  }
  return bytes;
}

// Messages nest a few levels; what nests deeper is none.
constexpr int kDepthMax = 16;

json with_texts(const json& value) {
  if (value.is_string()) return to_text(value.get_ref<const std::string&>());
  if (!value.is_structured()) return value;
  json made = value.is_array() ? json::array() : json::object();
  for (const auto& [key, item] : value.items()) {
    if (value.is_array()) {
      made.push_back(with_texts(item));
    } else {
      made[to_text(key)] = with_texts(item);
    }
  }
  return made;
}

Result<json> with_bytes(const json& value, int depth) {
  if (depth > kDepthMax) return Error(EPROTO, "control", "a message that nests too deep");
  if (value.is_string()) return json(TRY(to_bytes(value.get_ref<const std::string&>())));
  if (!value.is_structured()) return value;
  json made = value.is_array() ? json::array() : json::object();
  for (const auto& [key, item] : value.items()) {
    if (value.is_array()) {
      made.push_back(TRY(with_bytes(item, depth + 1)));
    } else {
      made[TRY(to_bytes(key))] = TRY(with_bytes(item, depth + 1));
    }
  }
  return made;
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

bool is_utf8(const std::string& text) {
  const json value = text;  // one way to write it leaves out what the other one replaces
  return value.dump(-1, ' ', false, json::error_handler_t::ignore) == dump(value);
}

std::string dump_message(const json& value) {
  return dump(with_texts(value));
}

Result<json> parse_message(std::string_view text) {
  return with_bytes(TRY(parse_object(text)), 0);
}

}  // namespace netfs::daemon
