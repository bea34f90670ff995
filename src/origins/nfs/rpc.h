#pragma once
// Rpc: one TCP connection to one RPC service of a server, as libnfs has it.
//
// Everything of one object by one thread at a time; connect() and service() wait, bounded.  What is
// sent by libnfs's own functions on context() is answered from within service(), or, when the
// connection is lost or the object goes, by an error.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "origins/nfs/wire.h"

namespace netfs::origins::nfs {

// Where, and as whom.
struct RpcTarget {
  std::string host;
  uint16_t port = 0;  // 0: ask the server's portmapper
  int program = 0;
  int version = 0;
  const char* service = "";  // for people: "NFS", "mount service"
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
  // A peer that has acknowledged nothing for so long is gone, however long its answers may take.
  Duration gone_after = std::chrono::seconds(10);
};

// What libnfs says went wrong last; it may have nothing to say.
inline std::string complaint_of(rpc_context* context) {
  const char* text = ::rpc_get_error(context);
  return text == nullptr ? "the connection is lost" : text;
}

class Rpc {
 public:
  // The error says whether it was the name, the port or the service.  ENOTCONN, ETIMEDOUT; ENOENT
  // for a host that nobody knows.  Each of its addresses is tried.  Gives up early when `wake`
  // becomes readable.
  static Result<std::unique_ptr<Rpc>> connect(const RpcTarget& target, Deadline deadline,
                                              int wake = -1);
  ~Rpc();
  Rpc(const Rpc&) = delete;
  Rpc& operator=(const Rpc&) = delete;

  [[nodiscard]] rpc_context* context() { return context_; }
  // Waits until something comes, `wake` is readable or `until`, and does what there is to do.
  // ENOTCONN: it is lost.
  Result<void> service(MonoTime until, int wake = -1);
  // Whether its host has acknowledged nothing for `gone_after`, also not when asked for a sign.
  [[nodiscard]] bool is_gone() const;

 private:
  static Result<std::unique_ptr<Rpc>> connect_to(const std::string& address,
                                                 const RpcTarget& target, Deadline deadline,
                                                 int wake);
  Rpc(rpc_context* context, Duration gone_after) : context_(context), gone_after_(gone_after) {}

  rpc_context* const context_;
  const Duration gone_after_;
};

}  // namespace netfs::origins::nfs
