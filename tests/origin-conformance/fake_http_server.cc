#include "tests/origin-conformance/fake_http_server.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <gtest/gtest.h>
#include <poll.h>
#include <sstream>
#include <sys/socket.h>

namespace netfs::test {

FakeHttpServer::FakeHttpServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const bool listening = ::bind(listener_.get(), generic, length) == 0 &&
                         ::listen(listener_.get(), 128) == 0 &&
                         ::getsockname(listener_.get(), generic, &length) == 0;
  EXPECT_TRUE(listening) << errno;
  port_ = ntohs(address.sin_port);
  accepter_ = sync::Thread("test-fake-http", [this] { accept_loop(); });
}

FakeHttpServer::~FakeHttpServer() {
  {
    sync::MutexLock lock(mutex_);
    stopping_ = true;
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  ::shutdown(listener_.get(), SHUT_RDWR);
  accepter_.join();
  std::vector<std::unique_ptr<sync::Thread>> threads;
  {
    sync::MutexLock lock(mutex_);
    threads.swap(threads_);
  }
  for (const auto& thread : threads) thread->join();
}

std::string FakeHttpServer::url(const std::string& lie) const {
  return "http://127.0.0.1:" + std::to_string(port_) + "/" + lie + "/";
}

std::vector<FakeRequest> FakeHttpServer::requests() const {
  sync::MutexLock lock(mutex_);
  return requests_;
}

unsigned FakeHttpServer::connections() const {
  sync::MutexLock lock(mutex_);
  return static_cast<unsigned>(threads_.size());
}

void FakeHttpServer::set_elsewhere(const std::string& url) {
  sync::MutexLock lock(mutex_);
  elsewhere_ = url;
}

void FakeHttpServer::act_as(const std::string& lie) {
  sync::MutexLock lock(mutex_);
  acted_ = lie;
}

void FakeHttpServer::accept_loop() {
  for (;;) {
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    sync::MutexLock lock(mutex_);
    if (stopping_) {
      ::close(fd);
      return;
    }
    open_.push_back(fd);
    threads_.push_back(std::make_unique<sync::Thread>("test-fake-conn", [this, fd] { serve(fd); }));
  }
}

namespace {

// Of what a request brings along, which nobody looks at.
size_t body_bytes_of(const std::string& head) {
  static const std::string kField = "Content-Length: ";
  const size_t at = head.find(kField);
  return at == std::string::npos ? 0 : std::stoul(head.substr(at + kField.size()));
}

// False: there is no more.
bool receive(int fd, std::string& bytes) {
  char buffer[4096];
  const ssize_t got = ::recv(fd, buffer, sizeof(buffer), 0);
  if (got <= 0) return false;
  bytes.append(buffer, static_cast<size_t>(got));
  return true;
}

}  // namespace

void FakeHttpServer::serve(int fd) {
  std::string bytes;
  for (bool go_on = true; go_on;) {
    const size_t end = bytes.find("\r\n\r\n");
    if (end != std::string::npos) {
      const std::string head = bytes.substr(0, end + 2);
      const size_t request_bytes = end + 4 + body_bytes_of(head);
      if (bytes.size() < request_bytes && receive(fd, bytes)) continue;
      bytes.erase(0, request_bytes);
      go_on = answer(fd, head);
      continue;
    }
    if (!receive(fd, bytes)) break;
  }
  sync::MutexLock lock(mutex_);
  std::erase(open_, fd);
  ::close(fd);
}

bool FakeHttpServer::answer(int fd, const std::string& head) {
  FakeRequest request;
  std::istringstream lines(head);
  std::string line;
  std::getline(lines, line);
  std::istringstream(line) >> request.method >> request.path;
  while (std::getline(lines, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), ::tolower);
    request.fields[name] = line.substr(colon + 2, line.find('\r') - colon - 2);
  }
  std::string elsewhere;
  {
    sync::MutexLock lock(mutex_);
    request.number = asked_[request.method + " " + request.path]++;
    requests_.push_back(request);
    elsewhere = elsewhere_;
    const size_t slash = request.path.find('/', 1);
    if (!acted_.empty() && slash != std::string::npos) {
      request.path.replace(1, slash - 1, acted_);
    }
  }
  const FakeReply reply = lie(request, elsewhere);
  const auto send_all = [fd](const std::string& bytes) {
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t n = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return false;
      sent += static_cast<size_t>(n);
    }
    return true;
  };
  if (!send_all(reply.bytes)) return false;
  for (unsigned i = 0; i < reply.repeats; ++i) {
    if (!send_all(reply.part != nullptr ? reply.part(i) : reply.again)) return false;
  }
  if (reply.then == Then::kClose) ::shutdown(fd, SHUT_RDWR);
  if (reply.then == Then::kStall) {
    // Until the other side, or the end of this server, ends it.
    pollfd ended{fd, POLLRDHUP, 0};
    while (::poll(&ended, 1, -1) < 0 && errno == EINTR) {
    }
    return false;
  }
  return reply.then == Then::kGoOn;
}

}  // namespace netfs::test
