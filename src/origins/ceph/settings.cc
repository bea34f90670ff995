#include "origins/ceph/settings.h"

#include <algorithm>
#include <charconv>
#include <climits>
#include <optional>
#include <spdlog/fmt/fmt.h>
#include <string_view>
#include <unistd.h>

#include "origins/percent.h"

namespace netfs::origins::ceph {

namespace {

Error wrong(std::string_view name, std::string_view value, std::string_view why) {
  return Error(EINVAL, "ceph.options", fmt::format("{}={}: {}", name, value, why));
}

Result<uint32_t> number(std::string_view name, std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == UINT32_MAX) {
    return wrong(name, text, "give a number");
  }
  return value;
}

Result<void> take(Settings& settings, std::string_view name, std::string_view value) {
  if (name == "uid" || name == "gid") {
    (name == "uid" ? settings.uid : settings.gid) = TRY(number(name, value));
    settings.groups.clear();
    return {};
  }
  std::string* const text = name == "conf"      ? &settings.conf
                            : name == "keyring" ? &settings.keyring
                            : name == "id"      ? &settings.id
                                                : nullptr;
  if (text == nullptr) return wrong(name, value, "there is no such option");
  if (value.empty()) return wrong(name, value, "it is empty");
  *text = value;
  return {};
}

Result<void> take_query(Settings& settings, std::string_view query) {
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), part.size() + 1));
    if (part.empty()) continue;
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos) return wrong(part, "", "write NAME=VALUE after '?'");
    const std::optional<std::string> value = percent_decode(part.substr(equals + 1));
    if (!value) return wrong(part.substr(0, equals), part.substr(equals + 1), "bad %XX");
    TRY(take(settings, part.substr(0, equals), *value));
  }
  return {};
}

}  // namespace

Result<Settings> Settings::parse(const OriginRequest& request) {
  const Url& url = request.url;
  if (url.port != 0) {
    return Error(EINVAL, "ceph.url",
                 fmt::format("{}: no port stands here, but the name of a file system; the monitors "
                             "are those of conf=FILE",
                             url.text));
  }
  if (url.host.empty()) {
    return Error(EINVAL, "ceph.url",
                 fmt::format("{}: the name of the file system is missing", url.text));
  }
  Settings settings;
  settings.url = url.text;
  settings.file_system = url.host;
  settings.timeout = request.timeout;
  settings.mount_id = request.mount_id;
  settings.follows = request.follows;
  settings.uid = ::geteuid();
  settings.gid = ::getegid();
  gid_t groups[NGROUPS_MAX];
  const int count = ::getgroups(NGROUPS_MAX, groups);
  for (int i = 0; i < count; ++i) settings.groups.push_back(groups[i]);
  settings.path = url.path.empty() ? "/" : url.path;
  while (settings.path.size() > 1 && settings.path.back() == '/') settings.path.pop_back();
  if (!url.user.empty()) settings.id = url.user;
  TRY(take_query(settings, url.query));
  for (const auto& [name, value] : request.options) TRY(take(settings, name, value));
  return settings;
}

}  // namespace netfs::origins::ceph
