#include "daemon/control_message.h"

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "daemon/json_fields.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

constexpr std::array<std::pair<std::string_view, Verb>, 9> kVerbs = {
    {{"mount", Verb::kMount},
     {"umount", Verb::kUmount},
     {"status", Verb::kStatus},
     {"cache-list", Verb::kCacheList},
     {"cache-usage", Verb::kCacheUsage},
     {"cache-drop", Verb::kCacheDrop},
     {"sync", Verb::kSync},
     {"limit", Verb::kLimit},
     {"upgrade", Verb::kUpgrade}}};
constexpr std::array<ExitCode, 8> kExitCodes = {
    ExitCode::kOk,          ExitCode::kUsage, ExitCode::kSystem,  ExitCode::kInternal,
    ExitCode::kInterrupted, ExitCode::kMtab,  ExitCode::kFailure, ExitCode::kSomeFailed};
constexpr int kErrnoMax = 4095;

Result<Verb> decode_verb(const std::string& name) {
  for (const auto& [known, verb] : kVerbs) {
    if (known == name) return verb;
  }
  return Error(EPROTO, "control", fmt::format("unknown request '{}'", name));
}

std::string verb_name(Verb verb) {
  for (const auto& [name, known] : kVerbs) {
    if (known == verb) return std::string(name);
  }
  return {};
}

}  // namespace

std::string encode(const Hello& hello) {
  return dump_message(json{{"netfs", hello.version},
                           {"protocol", hello.protocol},
                           {"pid", hello.pid},
                           {"cache_dir", hello.cache_dir}});
}

std::string encode(const Request& request) {
  return dump_message(json{{"verb", verb_name(request.verb)},
                           {"url", request.url},
                           {"target", request.target},
                           {"options", request.options},
                           {"name_space", request.name_space},
                           {"attached", request.attached},
                           {"lazy", request.lazy},
                           {"all", request.all}});
}

std::string encode(const Response& response) {
  return dump_message(json{{"code", response.code},
                           {"exit", static_cast<int>(response.exit)},
                           {"line", response.line},
                           {"body", response.body}});
}

Result<Hello> decode_hello(std::string_view text) {
  const json object = TRY(parse_message(text));
  Hello hello;
  hello.version = TRY(string_field(object, "netfs", kPathBytesMax));
  hello.protocol = static_cast<int>(TRY(int_field(object, "protocol", 0, INT32_MAX)));
  hello.pid = static_cast<int>(TRY(int_field(object, "pid", 0, INT32_MAX)));
  hello.cache_dir = TRY(string_field(object, "cache_dir", kPathBytesMax));
  return hello;
}

Result<Request> decode_request(std::string_view text) {
  const json object = TRY(parse_message(text));
  Request request;
  const std::string verb = TRY(string_field(object, "verb", kPathBytesMax));
  request.verb = TRY(decode_verb(verb));
  request.url = TRY(string_field(object, "url", kPathBytesMax));
  request.target = TRY(string_field(object, "target", kPathBytesMax));
  request.options = TRY(map_field(object, "options", kOptionsMax, kPathBytesMax));
  request.name_space = TRY(string_field(object, "name_space", kPathBytesMax));
  request.attached = TRY(bool_field(object, "attached"));
  request.lazy = TRY(bool_field(object, "lazy"));
  request.all = TRY(bool_field(object, "all"));
  return request;
}

Result<Response> decode_response(std::string_view text) {
  const json object = TRY(parse_message(text));
  Response response;
  response.code = static_cast<int>(TRY(int_field(object, "code", 0, kErrnoMax)));
  const int64_t exit = TRY(int_field(object, "exit", 0, 255));
  bool known = false;
  for (const ExitCode code : kExitCodes) {
    if (static_cast<int>(code) != exit) continue;
    response.exit = code;
    known = true;
  }
  if (!known) return Error(EPROTO, "control", fmt::format("unknown exit code {}", exit));
  response.line = TRY(string_field(object, "line", kJsonBytesMax));
  response.body = TRY(string_field(object, "body", kJsonBytesMax));
  return response;
}

Response failure(const Error& error) {
  Response response;
  response.code = error.code();
  response.line = error.message();
  switch (error.code()) {
    case EPERM:
      response.exit = ExitCode::kUsage;
      break;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      response.exit = ExitCode::kSystem;
      break;
    case EINVAL: {
      bool usage = false;
      for (const char* context : {"options", "config", "url", "origin.options"}) {
        usage = usage || std::strcmp(error.context(), context) == 0;
      }
      response.exit = usage ? ExitCode::kUsage : ExitCode::kFailure;
      break;
    }
    default:
      response.exit = ExitCode::kFailure;
  }
  return response;
}

Response failure_without_cache() {
  return failure(
      Error(ENOENT, "cache", "this daemon has no cache: --no-cache, or what its log says"));
}

Response with_body(const Result<json>& body) {
  return body.ok() ? Response{.body = dump(body.value())} : failure(body.error());
}

}  // namespace netfs::daemon
