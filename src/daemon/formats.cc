#include "daemon/formats.h"

#include <algorithm>
#include <spdlog/fmt/fmt.h>

#include "daemon/json_fields.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

constexpr size_t kReadsMax = 64;
constexpr size_t kVersionBytesMax = 256;

bool reads(const Format& reader, uint64_t number) {
  return std::find(reader.reads.begin(), reader.reads.end(), number) != reader.reads.end();
}

Result<Format> decode_format(const json& object) {
  Format format;
  format.writes = static_cast<uint64_t>(TRY(int_field(object, "writes", 0, INT64_MAX)));
  const auto list = object.find("reads");
  const bool is_list = list != object.end() && list->is_array() && list->size() <= kReadsMax;
  if (!is_list) return Error(EPROTO, "formats", "reads");
  for (const json& one : *list) {
    if (!one.is_number_unsigned()) return Error(EPROTO, "formats", "reads");
    format.reads.push_back(one.get<uint64_t>());
  }
  return format;
}

}  // namespace

std::string encode(const Formats& formats) {
  json each = json::object();
  for (const auto& [name, format] : formats.each) {
    each[name] = {{"writes", format.writes}, {"reads", format.reads}};
  }
  return dump_message(json{{"netfs", formats.version}, {"formats", each}});
}

Result<Formats> decode_formats(std::string_view text) {
  const json object = TRY(parse_message(text));
  Formats formats{.version = TRY(string_field(object, "netfs", kVersionBytesMax)), .each = {}};
  const auto each = object.find("formats");
  if (each == object.end() || !each->is_object()) return Error(EPROTO, "formats", "formats");
  for (const auto& [name, format] : each->items()) {
    if (!format.is_object()) return Error(EPROTO, "formats", name);
    formats.each[name] = TRY(decode_format(format));
  }
  return formats;
}

std::string difference(const Formats& ours, const Formats& theirs) {
  for (const auto& [name, our] : ours.each) {
    const auto found = theirs.each.find(name);
    if (found == theirs.each.end()) return fmt::format("it knows no {}", name);
    const Format& their = found->second;
    if (!reads(their, our.writes)) {
      return fmt::format("its {} is of another version ({}, here it is {})", name, their.writes,
                         our.writes);
    }
    if (!reads(our, their.writes)) {
      return fmt::format("its {} is of version {}, which could not be taken back (here it is {})",
                         name, their.writes, our.writes);
    }
  }
  return {};
}

}  // namespace netfs::daemon
