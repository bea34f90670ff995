#include "origins/nfs/rpc.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>
#include <unistd.h>

namespace netfs::origins::nfs {

namespace {

constexpr Duration kLongestPoll = std::chrono::seconds(1);

// The addresses of a host, in figures.  As long as the resolver takes, whatever the deadline.
Result<std::vector<std::string>> addresses_of(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int failed = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); failed != 0) {
    return Error(failed == EAI_AGAIN ? ENOTCONN : ENOENT, "nfs.dns",
                 fmt::format("{}: the name is not known (DNS): {}", host, ::gai_strerror(failed)));
  }
  std::vector<std::string> addresses;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    char text[NI_MAXHOST];
    const int named = ::getnameinfo(each->ai_addr, each->ai_addrlen, text, sizeof text, nullptr, 0,
                                    NI_NUMERICHOST);
    if (named == 0) addresses.emplace_back(text);
  }
  ::freeaddrinfo(found);
  if (addresses.empty()) return Error(ENOTCONN, "nfs.dns", host + ": its address has no figures");
  return addresses;
}

struct Connecting {
  std::optional<int> status;
  std::string why;
};

// Its TCP tells a host that is gone from one that is slow, which acknowledges; it is asked for a
// sign when nothing is on its way.
void notice_when_gone(int fd, Duration gone_after) {
  using std::chrono::ceil;
  const auto set = [&](int level, int name, int value) {
    (void)::setsockopt(fd, level, name, &value, sizeof value);
  };
  const auto milliseconds = static_cast<int>(ceil<std::chrono::milliseconds>(gone_after).count());
  const auto seconds = [&](int part) { return std::max(1, milliseconds / 1000 / part); };
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds);
  set(IPPROTO_TCP, TCP_KEEPIDLE, seconds(2));
  set(IPPROTO_TCP, TCP_KEEPINTVL, seconds(4));
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
}

void connected(rpc_context* /*context*/, int status, void* data, void* connecting) {
  auto& state = *static_cast<Connecting*>(connecting);
  state.status = status;
  if (status == RPC_STATUS_ERROR && data != nullptr) state.why = static_cast<const char*>(data);
}

}  // namespace

Rpc::~Rpc() {
  // What has not left this machine is not to leave it any more.
  const linger none{.l_onoff = 1, .l_linger = 0};
  (void)::setsockopt(::rpc_get_fd(context_), SOL_SOCKET, SO_LINGER, &none, sizeof none);
  ::rpc_destroy_context(context_);
}

Result<std::unique_ptr<Rpc>> Rpc::connect(const RpcTarget& target, Deadline deadline, int wake) {
  const std::vector<std::string> addresses = TRY(addresses_of(target.host));
  for (size_t i = 0;; ++i) {
    // What does not answer leaves time for the others.
    const MonoTime now = Clock::system().now();
    const auto left = static_cast<int64_t>(addresses.size() - i);
    const Deadline until =
        left == 1 || deadline.at <= now ? deadline : Deadline{now + (deadline.at - now) / left};
    Result<std::unique_ptr<Rpc>> rpc = connect_to(addresses[i], target, until, wake);
    if (rpc.ok() || left == 1 || rpc.is_error(ECANCELED)) return rpc;
  }
}

Result<std::unique_ptr<Rpc>> Rpc::connect_to(const std::string& address, const RpcTarget& target,
                                             Deadline deadline, int wake) {
  // Answered from within libnfs, at the latest when the context is destroyed: it outlives it.
  Connecting state;
  rpc_context* context = ::rpc_init_context();
  if (context == nullptr) return Error(ENOMEM, "nfs.rpc");
  std::unique_ptr<Rpc> rpc(new Rpc(context, target.gone_after));
  std::vector<uint32_t> groups = target.groups;
  char machine[256] = "netfs";
  (void)::gethostname(machine, sizeof machine - 1);
  ::rpc_set_auth(context,
                 ::libnfs_authunix_create(machine, target.uid, target.gid,
                                          static_cast<uint32_t>(groups.size()), groups.data()));
  const std::string where =
      target.port == 0
          ? fmt::format("{}: {} (by its portmapper, port 111)", target.host, target.service)
          : fmt::format("{} port {}: {}", target.host, target.port, target.service);
  const auto failed = [&](int code, const std::string& why) {
    return Error(code, "nfs.connect", fmt::format("{}: no connection by TCP: {}", where, why));
  };
  const int begun =
      target.port == 0
          ? ::rpc_connect_program_async(context, address.c_str(), target.program, target.version,
                                        &connected, &state)
          : ::rpc_connect_port_async(context, address.c_str(), target.port, target.program,
                                     target.version, &connected, &state);
  if (begun != 0) return failed(ENOTCONN, complaint_of(context));
  while (!state.status) {
    if (deadline.passed(Clock::system().now())) return failed(ETIMEDOUT, "no answer in time");
    const Result<void> served = rpc->service(deadline.at, wake);
    if (state.status) break;
    if (!served.ok()) return failed(ENOTCONN, complaint_of(context));
    if (pollfd woken{.fd = wake, .events = POLLIN, .revents = 0};
        wake >= 0 && ::poll(&woken, 1, 0) == 1) {
      return failed(ECANCELED, "given up");
    }
  }
  if (*state.status != RPC_STATUS_SUCCESS) {
    return failed(ENOTCONN, state.why.empty() ? complaint_of(context) : state.why);
  }
  notice_when_gone(::rpc_get_fd(context), target.gone_after);
  return rpc;
}

bool Rpc::is_gone() const {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(::rpc_get_fd(context_), IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
    return false;
  const uint32_t heard = std::min(info.tcpi_last_ack_recv, info.tcpi_last_data_recv);
  return std::chrono::milliseconds(heard) > gone_after_;
}

Result<void> Rpc::service(MonoTime until, int wake) {
  pollfd waits[2] = {};
  waits[0].fd = ::rpc_get_fd(context_);
  waits[0].events = static_cast<int16_t>(::rpc_which_events(context_));
  waits[1].fd = wake;
  waits[1].events = POLLIN;
  const Duration left =
      std::clamp<Duration>(until - Clock::system().now(), Duration(0), kLongestPoll);
  // Up: who waits for a moment is not to find that it has not come yet.
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  const int ready = ::poll(waits, 2, static_cast<int>(milliseconds));
  if (ready < 0 && errno != EINTR) return Error::from_errno("nfs.poll");
  if (ready <= 0 || waits[0].revents == 0) return {};
  if (::rpc_service(context_, waits[0].revents) < 0) {
    return Error(ENOTCONN, "nfs.connection", complaint_of(context_));
  }
  return {};
}

}  // namespace netfs::origins::nfs
