#pragma once
// control_message: what the netfs command and the daemon say to each other.  Pure.
//
// Over a SOCK_SEQPACKET socket of the daemon's user.  On connect the daemon sends a Hello; the
// client checks version and sends one Request; the daemon answers with one Response.  After the
// response to a mount with `attached`, the connection stays: its end from the client's side
// unmounts, and the daemon sends a second Response when the mount has ended.  An upgrade, whose
// target is a program, is answered by the supervisor.
//
// All are JSON objects; unknown fields are ignored, missing and ill-typed ones are EPROTO with the
// field's name, and so is anything longer than its limit.  A Response may be long (a cache's list):
// it travels in packets that begin with '+' when more follow and '.' when not, see
// control_socket.h.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "daemon/exit_code.h"
#include "daemon/options.h"

namespace netfs::daemon {

inline constexpr int kControlProtocol = 1;
inline constexpr size_t kPathBytesMax = 4096;  // of URLs, too
inline constexpr size_t kOptionsMax = 256;

struct Hello {
  std::string version;  // of netfs
  int protocol = kControlProtocol;
  int pid = 0;
  std::string cache_dir;  // empty: a daemon without a cache
};

enum class Verb {
  kMount,
  kUmount,
  kStatus,
  kCacheList,
  kCacheUsage,
  kCacheDrop,
  kSync,
  kLimit,
  kUpgrade
};

struct Request {
  Verb verb = Verb::kStatus;
  std::string url;     // mount: as given
  std::string target;  // mount point; of umount and status perhaps a URL; of drop a path
  OptionMap options;   // mount; of sync what was waited for before; of limit "bwlimit" or nothing
  std::string name_space;  // mount: the asker's mount namespace
  bool attached = false;   // mount: ends with this connection
  bool lazy = false;       // umount
  bool all = false;        // drop
};

struct Response {
  int code = 0;  // errno; 0: it worked
  ExitCode exit = ExitCode::kOk;
  std::string line;  // for the user; of failures, never empty; of umount also when it worked
  std::string body;  // JSON, or empty
};

std::string encode(const Hello& hello);
std::string encode(const Request& request);
std::string encode(const Response& response);
Result<Hello> decode_hello(std::string_view text);
Result<Request> decode_request(std::string_view text);
Result<Response> decode_response(std::string_view text);

// A failure as its user sees it.  EINVAL of the options and EPERM end as kUsage, lack of memory or
// descriptors as kSystem, all else as kFailure.
Response failure(const Error& error);
Response failure_without_cache();
Response with_body(const Result<nlohmann::json>& body);

}  // namespace netfs::daemon
