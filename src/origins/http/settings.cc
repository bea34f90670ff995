#include "origins/http/settings.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

namespace netfs::origins::http {

namespace {

constexpr unsigned kConnectionsMax = 64;
constexpr size_t kSecretBytesMax = 64 * 1024;

Error wrong(int code, const std::string& name, const std::string& why) {
  return Error(code, "http.options", fmt::format("{}: {}", name, why));
}

// What goes into a line of a head must not end it.
bool is_one_line(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7f; });
}

Result<std::string> checked_secret(const std::string& name, std::string secret) {
  if (secret.empty()) return wrong(EINVAL, name, "there is no secret in it");
  if (secret.size() > kSecretBytesMax || !is_one_line(secret)) {
    return wrong(EINVAL, name, "a secret is one line of printable text");
  }
  return secret;
}

Result<std::string> readable_file(const std::string& name, const std::string& path) {
  if (::access(path.c_str(), R_OK) == 0) return path;
  const int code = errno;
  return wrong(code, name + "=" + path, strerror(code));
}

// The first line of a file.
Result<std::string> secret_of_file(const std::string& name, const std::string& path) {
  TRY(readable_file(name, path));
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return checked_secret(name + "=" + path, std::move(line));
}

Result<std::string> secret_of_environment(const std::string& name, const std::string& variable) {
  const char* value = std::getenv(variable.c_str());
  if (value == nullptr) return wrong(EINVAL, name + "=" + variable, "there is no such variable");
  return checked_secret(name + "=" + variable, value);
}

Result<unsigned> parse_connections(const std::string& text) {
  unsigned count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count == 0 ||
      count > kConnectionsMax) {
    return wrong(EINVAL, "connections=" + text,
                 fmt::format("give a number from 1 to {}", kConnectionsMax));
  }
  return count;
}

Result<bool> parse_webdav(const std::string& text) {
  if (text == "yes" || text == "no") return text == "yes";
  return wrong(EINVAL, "webdav=" + text, "give yes or no");
}

Result<void> take_option(Settings& settings, const std::string& name, const std::string& value) {
  if (name == "login") settings.user = value;
  if (name == "password_file") settings.password = TRY(secret_of_file(name, value));
  if (name == "password_env") settings.password = TRY(secret_of_environment(name, value));
  if (name == "bearer_file") settings.bearer = TRY(secret_of_file(name, value));
  if (name == "bearer_env") settings.bearer = TRY(secret_of_environment(name, value));
  if (name == "netrc") {
    settings.netrc = true;
    if (value != "yes") settings.netrc_file = TRY(readable_file(name, value));
  }
  if (name == "cert") settings.certificate = TRY(readable_file(name, value));
  if (name == "key") settings.key = TRY(readable_file(name, value));
  if (name == "ca_cert") settings.ca_cert = TRY(readable_file(name, value));
  if (name == "user_agent") settings.user_agent = value;
  if (name == "connections") settings.connections = TRY(parse_connections(value));
  if (name == "webdav") settings.webdav = TRY(parse_webdav(value));
  return {};
}

Result<void> check_together(const Settings& settings, const OriginOptions& options) {
  const auto given = [&](const char* name) { return options.contains(name); };
  if (given("password_file") && given("password_env")) {
    return wrong(EINVAL, "password_file, password_env", "give one of the two");
  }
  if (given("bearer_file") && given("bearer_env")) {
    return wrong(EINVAL, "bearer_file, bearer_env", "give one of the two");
  }
  const bool basic = !settings.user.empty() || !settings.password.empty();
  if (static_cast<int>(basic) + static_cast<int>(!settings.bearer.empty()) +
          static_cast<int>(settings.netrc) >
      1) {
    return wrong(EINVAL, "login, bearer_*, netrc", "give one way to log in");
  }
  if (basic && settings.user.empty())
    return wrong(EINVAL, "password", "it needs login=NAME, or NAME@ in the URL");
  if (basic && settings.password.empty()) {
    return wrong(EINVAL, "login",
                 "it needs password_file=FILE, password_env=NAME, or netrc instead");
  }
  if (!settings.key.empty() && settings.certificate.empty()) {
    return wrong(EINVAL, "key", "it needs cert=FILE");
  }
  if (!is_one_line(settings.user) || settings.user.find(':') != std::string::npos) {
    return wrong(EINVAL, "login", "a user's name is printable and has no ':'");
  }
  if (!is_one_line(settings.user_agent)) return wrong(EINVAL, "user_agent", "one line of text");
  return {};
}

}  // namespace

Result<Settings> Settings::parse(const OriginRequest& request) {
  const Url& url = request.url;
  if (!url.query.empty()) {
    return Error(EINVAL, "http.url", fmt::format("{}: what follows '?' is no directory", url.text));
  }
  Settings settings;
  const bool v6 = url.host.find(':') != std::string::npos;
  std::string host = url.host;
  std::transform(host.begin(), host.end(), host.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  settings.server = fmt::format("{}://{}{}{}", url.scheme, v6 ? "[" : "", host, v6 ? "]" : "");
  if (url.port != 0) settings.server += fmt::format(":{}", url.port);
  settings.path = url.path;
  settings.user = url.user;
  settings.timeout = request.timeout;
  settings.user_agent = "netfs/0.1";
  for (const auto& [name, value] : request.options) TRY(take_option(settings, name, value));
  TRY(check_together(settings, request.options));
  settings.identity = fmt::format("user={}", settings.user);
  for (const char* name : {"bearer_file", "bearer_env", "netrc", "cert"}) {
    const auto found = request.options.find(name);
    if (found != request.options.end())
      settings.identity += fmt::format(" {}={}", name, found->second);
  }
  return settings;
}

}  // namespace netfs::origins::http
