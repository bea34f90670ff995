#include "origins/nfs/settings.h"

#include <algorithm>
#include <charconv>
#include <climits>
#include <optional>
#include <spdlog/fmt/fmt.h>
#include <string_view>
#include <unistd.h>

#include "origins/percent.h"

namespace netfs::origins::nfs {

namespace {

constexpr unsigned kConnectionsMax = 16;
constexpr int kGroupsMax = 16;  // that AUTH_SYS has room for

Error wrong(std::string_view name, std::string_view value, std::string_view why) {
  return Error(EINVAL, "nfs.options", fmt::format("{}={}: {}", name, value, why));
}

Result<uint32_t> number(std::string_view name, std::string_view text, uint32_t least,
                        uint32_t most) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return wrong(name, text, fmt::format("give a number from {} to {}", least, most));
  }
  return value;
}

Result<void> take(Settings& settings, std::string_view name, std::string_view value) {
  if (name == "version") {
    if (value.starts_with("4.") && value != "4.0") {
      return Error(
          EOPNOTSUPP, "nfs.options",
          fmt::format("version={}: give 3, or 4 to read only; sessions (4.1 and later) are "
                      "not spoken here",
                      value));
    }
    if (value != "3" && value != "4" && value != "4.0") return wrong(name, value, "give 3 or 4");
    settings.version = value == "3" ? 3 : 4;
    return {};
  }
  if (name == "nfsport") {
    settings.nfs_port = static_cast<uint16_t>(TRY(number(name, value, 1, 65535)));
  } else if (name == "mountport") {
    settings.mount_port = static_cast<uint16_t>(TRY(number(name, value, 1, 65535)));
  } else if (name == "connections") {
    settings.connections = TRY(number(name, value, 1, kConnectionsMax));
  } else if (name == "uid") {
    settings.uid = TRY(number(name, value, 0, UINT32_MAX - 1));
    settings.groups.clear();
  } else if (name == "gid") {
    settings.gid = TRY(number(name, value, 0, UINT32_MAX - 1));
    settings.gid_given = true;
    settings.groups.clear();
  } else {
    return wrong(name, value, "there is no such option");
  }
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
  if (!url.user.empty()) {
    return Error(
        EINVAL, "nfs.url",
        fmt::format("{}: a user's name means nothing to NFS; give uid= and gid=", url.text));
  }
  Settings settings;
  settings.host = url.host;
  settings.timeout = request.timeout;
  settings.uid = ::geteuid();
  settings.gid = ::getegid();
  gid_t groups[NGROUPS_MAX];
  const int count = ::getgroups(NGROUPS_MAX, groups);
  for (int i = 0; i < count && i < kGroupsMax; ++i) settings.groups.push_back(groups[i]);
  settings.path = url.path;
  while (settings.path.size() > 1 && settings.path.back() == '/') settings.path.pop_back();
  if (url.port != 0) settings.nfs_port = url.port;
  TRY(take_query(settings, url.query));
  for (const auto& [name, value] : request.options) TRY(take(settings, name, value));
  return settings;
}

std::string Settings::volume_key() const {
  std::string key = fmt::format("nfs://{}:{}{} uid={}", host, nfs_port, path, uid);
  if (gid_given) key += fmt::format(" gid={}", gid);
  // Its paths, versions of files and identities are not those of version 3.
  if (version != 3) key += fmt::format(" version={}", version);
  return key;
}

}  // namespace netfs::origins::nfs
