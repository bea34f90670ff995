#pragma once
// json_fields: fields of a JSON object that may be wrong in every way, each checked as it is taken.
// Pure.
//
// Errors: EPROTO with the field's name.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace netfs::daemon {

inline constexpr size_t kJsonBytesMax = 64 << 20;

Result<nlohmann::json> parse_object(std::string_view text);
Result<std::string> string_field(const nlohmann::json& object, const char* name, size_t bytes_max);
Result<int64_t> int_field(const nlohmann::json& object, const char* name, int64_t min, int64_t max);
Result<bool> bool_field(const nlohmann::json& object, const char* name);
// An object of strings.
Result<std::map<std::string, std::string>> map_field(const nlohmann::json& object, const char* name,
                                                     size_t count_max, size_t bytes_max);

// For people and scripts: names of files are bytes, and what of them is not UTF-8 is written as
// U+FFFD, never an error.
std::string dump(const nlohmann::json& value);
[[nodiscard]] bool is_utf8(const std::string& text);

// Between processes of ours: each byte from 0x80 on travels as the character of its number, so that
// any string comes back as it was.
std::string dump_message(const nlohmann::json& value);
Result<nlohmann::json> parse_message(std::string_view text);

}  // namespace netfs::daemon
