#include "lockdep_preload/control.h"

#include <cstddef>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lockdep_preload/high_descriptor.h"

namespace netfs::lockdep_preload {
namespace {

constexpr int kHighDescriptor = 900;
constexpr size_t kAnswerMax = size_t{64} << 20;

struct Address {
  explicit Address(int process) {
    const std::string text = "lockdep/" + std::to_string(process);
    address.sun_family = AF_UNIX;  // sun_path[0] stays zero: abstract
    std::memcpy(address.sun_path + 1, text.data(), text.size());
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
  sockaddr_un address{};
  socklen_t size;
};

void bound_waits(int fd, int wait_ms) {
  const timeval wait{.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  (void)::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
}

bool send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// Whose the other side is: who connected, or who listens.
std::optional<uid_t> peer_of(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer.uid;
}

bool may_ask(int fd) {
  const std::optional<uid_t> asks = peer_of(fd);
  return asks.has_value() && (*asks == 0 || *asks == ::geteuid());
}

bool may_be_asked(int fd) {
  return ::geteuid() == 0 || peer_of(fd) == ::geteuid();
}

bool is_there(ControlSocket::Identity identity) {
  struct stat status {};
  return ::fstat(identity.fd, &status) == 0 && S_ISSOCK(status.st_mode) &&
         status.st_ino == identity.inode;
}

}  // namespace

Result<ControlSocket> ControlSocket::open(int process) {
  UniqueFd low(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!low) return Error::from_errno("socket");
  UniqueFd fd(high_descriptor(low.get(), kHighDescriptor));
  low.reset();
  if (!fd) return Error(EMFILE, "socket", "no descriptor is out of the way");
  const Address address(process);
  struct stat status {};
  if (::bind(fd.get(), address.get(), address.size) != 0 || ::listen(fd.get(), 4) != 0 ||
      ::fstat(fd.get(), &status) != 0) {
    return Error::from_errno("bind");
  }
  return ControlSocket(std::move(fd), status.st_ino);
}

ControlSocket::~ControlSocket() {
  if (!is_ours()) (void)fd_.release();
}

bool ControlSocket::is_ours() const {
  return is_there(identity());
}

void ControlSocket::close_if_there(Identity identity) {
  if (is_there(identity)) ::close(identity.fd);
}

bool ControlSocket::serve(int timeout_ms, Answer answer) {
  pollfd waited{.fd = is_ours() ? fd_.get() : -1, .events = POLLIN, .revents = 0};
  if (::poll(&waited, 1, timeout_ms) <= 0 || waited.revents == 0 || !is_ours()) return false;
  UniqueFd peer(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!peer) {
    ::poll(nullptr, 0, timeout_ms);  // the program has no descriptor to spare: who asks waits
    return false;
  }
  peer = UniqueFd(high_descriptor(peer.get(), kHighDescriptor));
  if (!peer) return true;
  bound_waits(peer.get(), kWaitMs);
  if (!may_ask(peer.get())) return true;
  char word[kWordMax];
  size_t have = 0;
  while (have < sizeof word) {
    const ssize_t got = ::recv(peer.get(), word + have, sizeof word - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += static_cast<size_t>(got);
    if (word[have - 1] == '\n') break;
  }
  if (have == 0 || word[have - 1] != '\n') return true;
  (void)send_all(peer.get(), answer(std::string_view(word, have - 1)));
  return true;
}

Result<std::string> ask(int process, std::string_view word) {
  constexpr int kAnswerWaitMs = 10'000;
  const std::string who = "process " + std::to_string(process);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return Error::from_errno("socket");
  bound_waits(fd.get(), kAnswerWaitMs);
  const Address address(process);
  if (::connect(fd.get(), address.get(), address.size) != 0) {
    if (errno != ECONNREFUSED) return Error::from_errno("connect");
    return Error(ESRCH, "ask",
                 who + " does not run under lockdep run, or has started no thread yet");
  }
  // Who does not answer us has closed the connection, perhaps before this is sent.
  if (!send_all(fd.get(), std::string(word) + "\n") && errno != EPIPE && errno != ECONNRESET) {
    return Error::from_errno("send");
  }
  std::string text;
  char piece[16384];
  while (text.size() < kAnswerMax) {
    const ssize_t got = ::recv(fd.get(), piece, sizeof piece, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return Error(ETIMEDOUT, "ask", who + " did not answer in time");
    }
    if (got < 0 && errno != ECONNRESET) return Error::from_errno("receive");
    if (got <= 0) break;
    text.append(piece, static_cast<size_t>(got));
  }
  if (!text.empty()) return text;
  if (!may_be_asked(fd.get())) {
    return Error(EACCES, "ask", who + " does not answer: it is another user's");
  }
  return Error(ESRCH, "ask", who + " ended while it was asked");
}

}  // namespace netfs::lockdep_preload
