#pragma once
// FakeKernel: plays the kernel for tests, over a pair of SOCK_SEQPACKET sockets.
//
// The test sends raw requests and awaits answers; the session under test reads channel().  It can
// also misbehave: answer ENOENT to a reply as for an interrupted request, send short packets, end
// the connection in the middle of everything.  A message is at most kMessageMax bytes.
//
// Thread-safe.  It owns the channel, so it must outlive the session.
//
//   auto kernel = FakeKernel::create(2);
//   auto session = MUST(Session::create(kernel->channel(), handler, {}, Clock::system()));
//   session->start();
//   kernel->init();
//   auto reply = kernel->call(Opcode::kGetattr, kRootNode, proto::GetattrIn{});

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "fuse/channel.h"
#include "fuse/encode.h"
#include "fuse/lock_classes.h"
#include "fuse/protocol.h"
#include "fuse/wire.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::fuse {

class FakeKernel {
 public:
  static constexpr size_t kMessageMax = 200 << 10;  // what sockets carry without privilege
  static constexpr Duration kPatience = std::chrono::seconds(60);

  struct Answer {
    int error = 0;  // positive errno
    std::vector<std::byte> body;

    // The body as one of protocol.h's structs, zeroes where it is short.
    template <class T>
    [[nodiscard]] T as() const {
      T value{};
      copy_to(&value, sizeof value);
      return value;
    }
    [[nodiscard]] std::string_view text() const {
      return {reinterpret_cast<const char*>(body.data()), body.size()};
    }

   private:
    void copy_to(void* to, size_t size) const;
  };
  struct Notification {
    proto::Notify code{};
    std::vector<std::byte> body;
  };

  static std::unique_ptr<FakeKernel> create(unsigned queues = 1);
  ~FakeKernel();

  [[nodiscard]] KernelChannel& channel() const;

  // Sends a request; its unique.  `body` follows the header as it is.
  uint64_t send(Opcode opcode, NodeId node, std::span<const std::byte> body);
  template <class T>
  requires(!std::is_convertible_v<const T&, std::span<const std::byte>>) uint64_t
      send(Opcode opcode, NodeId node, const T& in) {
    return send(opcode, node, bytes_of(in));
  }
  uint64_t send_name(Opcode opcode, NodeId node, std::string_view name);  // NUL added
  // As to the process after one that had read it: a request of another connection's, once more,
  // with the bit that says so; what to await.
  uint64_t send_again(uint64_t unique, Opcode opcode, NodeId node, std::span<const std::byte> body);
  // Called before each answer goes out, by who sends it.
  void set_before_reply(std::function<void()> before);
  void interrupt(uint64_t unique);
  void forget(NodeId node, uint64_t lookups);
  // Bytes as they are, header included.
  void send_raw(std::span<const std::byte> message);

  // The answer to `unique`, each once; none after kPatience or when the session's side is gone.
  std::optional<Answer> await(uint64_t unique) EXCLUDES(mutex_);
  [[nodiscard]] bool answered(uint64_t unique) const EXCLUDES(mutex_);
  template <class T>
  std::optional<Answer> call(Opcode opcode, NodeId node, const T& in) {
    return await(send(opcode, node, in));
  }
  std::optional<Answer> call_name(Opcode opcode, NodeId node, std::string_view name) {
    return await(send_name(opcode, node, name));
  }

  // What a 6.18 kernel says in INIT: protocol 7.45.
  static proto::InitIn newest_init();
  // A whole INIT, of which the first `in_bytes` are sent; the answer, none when it was an error.
  std::optional<proto::InitOut> init(const proto::InitIn& in = newest_init(),
                                     size_t in_bytes = sizeof(proto::InitIn));

  std::optional<Notification> await_notification() EXCLUDES(mutex_);
  // Until all that the session's side has sent so far was taken note of.
  void settle() EXCLUDES(mutex_);

  // The next `count` replies are refused with ENOENT, as after an interrupt.
  void refuse_replies(unsigned count);
  // Receivers get ENODEV and senders ENODEV, as after unmount.
  void unmount();

  // What backing_open() answers: ids from 1 on, unless an errno is set here.
  void set_backing_error(int code);
  [[nodiscard]] unsigned backing_open_count() const;
  // Messages that were no proper answer: a wrong length, a unique never sent or answered twice.
  [[nodiscard]] unsigned protocol_errors() const EXCLUDES(mutex_);
  // Until the session has asked to be told `count` INTERRUPTs again; false after kPatience.
  bool await_postponed(unsigned count) EXCLUDES(mutex_);

 private:
  class Channel;
  FakeKernel(UniqueFd kernel_side, std::unique_ptr<Channel> channel);
  void collect() EXCLUDES(mutex_);
  void take_message_locked(std::span<const std::byte> message) REQUIRES(mutex_);
  void send_as(uint64_t unique, Opcode opcode, NodeId node, std::span<const std::byte> body);

  UniqueFd socket_;
  std::unique_ptr<Channel> channel_;
  mutable sync::Mutex mutex_{kFakeKernelLock};
  sync::CondVar changed_;
  uint64_t next_unique_ GUARDED_BY(mutex_) = 2;    // even, as the kernel's; odd ones are interrupts
  std::set<uint64_t> waiting_ GUARDED_BY(mutex_);  // sent and not answered
  std::map<uint64_t, Answer> answers_ GUARDED_BY(mutex_);
  std::deque<Notification> notifications_ GUARDED_BY(mutex_);
  unsigned protocol_errors_ GUARDED_BY(mutex_) = 0;
  unsigned interrupts_postponed_ GUARDED_BY(mutex_) = 0;
  bool ended_ GUARDED_BY(mutex_) = false;
  sync::Thread collector_;
};

}  // namespace netfs::fuse
