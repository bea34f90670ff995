#include "tests/origin-conformance/fake_nfs_server.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace netfs::test {

namespace {

constexpr const char* kRoot = "root";

bool receive(int fd, size_t length, std::string& into) {
  const size_t begin = into.size();
  into.resize(begin + length);
  for (size_t got = 0; got < length;) {
    const ssize_t n = ::recv(fd, into.data() + begin + got, length - got, 0);
    if (n <= 0) return false;
    got += static_cast<size_t>(n);
  }
  return true;
}

std::string found_of(const FakeNfsServer::Node& node) {
  return Xdr().u32(1).raw(FakeNfsServer::attributes_of(node)).bytes();
}

std::string status_of(uint32_t status, unsigned absent) {
  Xdr answer;
  answer.u32(status);
  for (unsigned i = 0; i < absent; ++i) answer.u32(0);
  return answer.bytes();
}

}  // namespace

Xdr& Xdr::u32(uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes_ += static_cast<char>(value >> shift & 0xff);
  return *this;
}
Xdr& Xdr::u64(uint64_t value) {
  return u32(static_cast<uint32_t>(value >> 32)).u32(static_cast<uint32_t>(value));
}
Xdr& Xdr::raw(const std::string& bytes) {
  bytes_ += bytes;
  return *this;
}
Xdr& Xdr::opaque(const std::string& bytes) {
  u32(static_cast<uint32_t>(bytes.size())).raw(bytes);
  bytes_.append((4 - bytes.size() % 4) % 4, '\0');
  return *this;
}

FakeNfsServer::FakeNfsServer(Script script)
    : script_(std::move(script)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
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
  accepter_ = sync::Thread("test-fake-nfs", [this] { accept_loop(); });
}

FakeNfsServer::~FakeNfsServer() {
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

std::string FakeNfsServer::url(const std::string& more) const {
  const std::string port = std::to_string(port_);
  return "nfs://127.0.0.1/exported?nfsport=" + port + "&mountport=" + port + more;
}

unsigned FakeNfsServer::calls(uint32_t nfs_procedure) const {
  sync::MutexLock lock(mutex_);
  const auto found = calls_.find({kNfsProgram, nfs_procedure});
  return found == calls_.end() ? 0 : found->second;
}

unsigned FakeNfsServer::connections() const {
  sync::MutexLock lock(mutex_);
  return static_cast<unsigned>(threads_.size());
}

uint64_t FakeNfsServer::put(const std::string& name, bool directory) {
  sync::MutexLock lock(mutex_);
  const uint64_t fileid = next_fileid_++;
  names_[name] = Node{.fileid = fileid, .directory = directory};
  return fileid;
}

void FakeNfsServer::remove(const std::string& name) {
  sync::MutexLock lock(mutex_);
  names_.erase(name);
}

std::optional<FakeNfsServer::Node> FakeNfsServer::find(const std::string& name) const {
  sync::MutexLock lock(mutex_);
  const auto found = names_.find(name);
  return found == names_.end() ? std::nullopt : std::optional<Node>(found->second);
}

void FakeNfsServer::go_deaf() {
  sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog filter{.len = 1, .filter = &nothing};
  sync::MutexLock lock(mutex_);
  for (const int fd : open_) {
    EXPECT_EQ(::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter), 0) << errno;
  }
}

std::string FakeNfsServer::handle_of(uint64_t fileid) {
  return "n" + std::to_string(fileid);
}

NfsAnswer NfsAnswer::status(uint32_t status, unsigned absent) {
  return {How::kSay, status_of(status, absent)};
}

std::string FakeNfsServer::attributes_of(const Node& node) {
  Xdr answer;
  answer.u32(node.directory ? 2 : 1).u32(node.mode).u32(1).u32(::geteuid()).u32(::getegid());
  answer.u64(node.size).u64(node.size).u64(0).u64(7).u64(node.fileid);
  for (int i = 0; i < 3; ++i) answer.u32(1'000'000).u32(0);
  return answer.bytes();
}

void FakeNfsServer::accept_loop() {
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

void FakeNfsServer::serve(int fd) {
  for (bool go_on = true; go_on;) {
    std::string message;
    for (bool last = false; go_on && !last;) {
      std::string mark;
      go_on = receive(fd, 4, mark);
      const uint32_t length = XdrReader(mark).u32();
      last = (length & 0x80000000U) != 0;
      go_on = go_on && receive(fd, length & 0x7fffffffU, message);
    }
    go_on = go_on && answer(fd, message);
  }
  sync::MutexLock lock(mutex_);
  std::erase(open_, fd);
  ::close(fd);
}

bool FakeNfsServer::answer(int fd, const std::string& message) {
  XdrReader reader(message);
  const uint32_t id = reader.u32();
  (void)reader.raw(8);
  NfsCall call{.program = reader.u32()};
  (void)reader.u32();
  call.procedure = reader.u32();
  for (int i = 0; i < 2; ++i) {
    (void)reader.u32();
    (void)reader.opaque();
  }
  call.arguments = reader.rest();
  if (call.program == kNfsProgram && (call.procedure == kNfsLookup || call.procedure >= 8)) {
    XdrReader arguments(call.arguments);
    (void)arguments.opaque();
    if (call.procedure <= kNfsRename) call.name = arguments.opaque();
    call.exclusive = call.procedure == kNfsCreate && arguments.u32() == 2;
  }
  if (call.program == kNfsProgram && call.procedure != 0) {
    XdrReader arguments(call.arguments);
    call.handle = arguments.opaque();
    if (call.procedure == kNfsWrite) call.offset = arguments.u64();
    if (call.procedure == kNfsSetattr) {
      for (int i = 0; i < 3; ++i) {
        if (arguments.u32() == 1) (void)arguments.u32();
      }
      call.resizes = arguments.u32() == 1;
    }
  }
  {
    sync::MutexLock lock(mutex_);
    call.number = calls_[{call.program, call.procedure}]++;
  }
  std::optional<NfsAnswer> answer = script_ ? script_(call) : std::nullopt;
  if (!answer) answer = NfsAnswer{NfsAnswer::How::kSay, carry_out(call)};
  if (answer->how == NfsAnswer::How::kSilence) return true;
  if (answer->how == NfsAnswer::How::kDoAndHangUp || answer->how == NfsAnswer::How::kDoAndSilence) {
    (void)carry_out(call);
  }
  if (answer->how == NfsAnswer::How::kDoAndSilence) return true;
  if (answer->how == NfsAnswer::How::kHangUp || answer->how == NfsAnswer::How::kDoAndHangUp) {
    return false;
  }
  const bool refused = answer->how == NfsAnswer::How::kRefuse;
  const std::string body =
      Xdr().u32(id).u32(1).u32(0).u32(0).u32(0).u32(refused ? 4 : 0).raw(answer->body).bytes();
  const std::string bytes =
      Xdr().u32(0x80000000U | static_cast<uint32_t>(body.size())).raw(body).bytes();
  return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

FakeNfsServer::Node* FakeNfsServer::of_handle_locked(const std::string& handle) {
  if (handle == kRoot) return &root_;
  for (auto& [name, node] : names_) {
    if (handle_of(node.fileid) == handle) return &node;
  }
  return nullptr;
}

std::string FakeNfsServer::create_locked(const NfsCall& call) {
  XdrReader reader(call.arguments);
  (void)reader.opaque();
  (void)reader.opaque();
  const bool directory = call.procedure == kNfsMkdir;
  (void)reader.u32();
  const bool exclusive = call.exclusive;
  const std::string verifier = exclusive ? reader.raw(8) : "";
  const auto found = names_.find(call.name);
  if (found != names_.end() && (!exclusive || found->second.verifier != verifier)) {
    return status_of(kNfsExists, 2);
  }
  if (found == names_.end()) {
    names_[call.name] =
        Node{.fileid = next_fileid_++, .directory = directory, .verifier = verifier};
  }
  const Node& node = names_[call.name];
  Xdr answer;
  answer.u32(0).u32(1).opaque(handle_of(node.fileid)).raw(found_of(node)).u32(0).u32(0);
  return answer.bytes();
}

// Of a sattr3: mode and size.
void FakeNfsServer::set_attributes(Node& node, const std::string& wanted) {
  XdrReader reader(wanted);
  if (reader.u32() == 1) node.mode = reader.u32();
  for (int i = 0; i < 2; ++i) {
    if (reader.u32() == 1) (void)reader.u32();
  }
  if (reader.u32() == 1) node.size = reader.u64();
}

std::string FakeNfsServer::rename_locked(const NfsCall& call) {
  XdrReader reader(call.arguments);
  for (int i = 0; i < 3; ++i) (void)reader.opaque();
  const auto named = names_.find(call.name);
  if (named == names_.end()) return status_of(kNfsNoEntry, 4);
  const Node moved = named->second;
  names_.erase(named);
  names_[reader.opaque()] = moved;
  return status_of(0, 4);
}

std::string FakeNfsServer::list_locked(bool with_attributes) {
  Xdr answer;
  answer.u32(0).u32(0).u64(0);
  uint64_t cookie = 0;
  for (const auto& [name, each] : names_) {
    answer.u32(1).u64(each.fileid).opaque(name).u64(++cookie);
    if (with_attributes) answer.raw(found_of(each)).u32(1).opaque(handle_of(each.fileid));
  }
  return answer.u32(0).u32(1).bytes();
}

std::string FakeNfsServer::carry_out(const NfsCall& call) {
  sync::MutexLock lock(mutex_);
  return carry_out_locked(call);
}

std::string FakeNfsServer::carry_out_locked(const NfsCall& call) {
  if (call.procedure == 0) return "";
  if (call.program == kNfsMountProgram) return Xdr().u32(0).opaque(kRoot).u32(1).u32(1).bytes();
  XdrReader reader(call.arguments);
  const std::string handle = reader.opaque();
  Node* node = of_handle_locked(handle);
  if (node == nullptr) return status_of(kNfsStale, 2);
  const auto named = names_.find(call.name);
  switch (call.procedure) {
    case kNfsGetattr:
      return Xdr().u32(0).raw(attributes_of(*node)).bytes();
    case kNfsSetattr:
      set_attributes(*node, reader.rest());
      return Xdr().u32(0).u32(0).raw(found_of(*node)).bytes();
    case kNfsLookup:
      if (named == names_.end()) return status_of(kNfsNoEntry, 1);
      return Xdr()
          .u32(0)
          .opaque(handle_of(named->second.fileid))
          .raw(found_of(named->second))
          .u32(0)
          .bytes();
    case 4:  // ACCESS
      return Xdr().u32(0).u32(0).u32(0x3f).bytes();
    case kNfsWrite: {
      const uint64_t offset = reader.u64();
      const uint32_t count = reader.u32();
      const uint32_t how = reader.u32();
      uint64_t& size = node->size;
      size = std::max(size, offset + count);
      return Xdr().u32(0).u32(0).raw(found_of(*node)).u32(count).u32(how).u64(1).bytes();
    }
    case kNfsCreate:
    case kNfsMkdir:
      return create_locked(call);
    case kNfsRemove:
      return status_of(names_.erase(call.name) == 1 ? 0 : kNfsNoEntry, 2);
    case kNfsRename:
      return rename_locked(call);
    case kNfsReaddir:
    case kNfsReaddirplus:
      return list_locked(call.procedure == kNfsReaddirplus);
    case 19:  // FSINFO
      return Xdr()
          .u32(0)
          .u32(0)
          .u32(1 << 20)
          .u32(1 << 20)
          .u32(4096)
          .u32(1 << 20)
          .u32(1 << 20)
          .u32(4096)
          .u32(65536)
          .u64(1ULL << 50)
          .u32(0)
          .u32(1)
          .u32(0x1b)
          .bytes();
    case kNfsCommit:
      return Xdr().u32(0).u32(0).u32(0).u64(1).bytes();
    default:
      return status_of(kNfsNotSupported, 2);
  }
}

}  // namespace netfs::test
