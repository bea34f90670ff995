#pragma once
// Connection: one SFTP session over one ssh, with many operations under way.
//
// submit() encodes a request and returns; the answer comes to the Operation on the connection's own
// thread.  Requests leave in the order of submit(), and OpenSSH's server works on them in that
// order: an FSTAT submitted after READs sees the file as it is after them.  File data is read from
// the socket straight into its destination.
//
// 1. connecting: ssh was started, the thread shakes hands; submit() refuses.
// 2. up.
// 3. ended: ssh died, the server talks nonsense, nothing came for `timeout` while somebody waited,
//    or end().  Every operation gets failed() with end_reason(), and submit() refuses.
//
// What the operations get when it ends: ENOTCONN, EIO after nonsense from the server, ECANCELED
// after end().  Requests not yet sent are kept without a bound of their own: callers bound them by
// the memory for their answers.
//
// Thread-safe; no I/O under its lock.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "origins/sftp/handshake.h"
#include "origins/sftp/lock_classes.h"
#include "origins/sftp/sftp_wire.h"
#include "origins/sftp/ssh_process.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::origins::sftp {

// Waits for one answer; called once, on the connection's thread, without its lock.
class Operation {
 public:
  virtual ~Operation() = default;
  // The answer's type and its body after the id.
  virtual void answered(PacketType type, Reader body) = 0;
  // DATA came and `bytes` of it lie in destination().
  virtual void data_read(uint64_t bytes) { (void)bytes; }
  // The connection ended before the answer.
  virtual void failed(const Error& error) = 0;
  // Where DATA goes; it never holds more than this, or the server lies.  Empty: no DATA is
  // expected.
  [[nodiscard]] virtual std::span<std::byte> destination() const { return {}; }
};

// Is told when a connection is up or has ended; on the connection's thread, without its lock.
class ConnectionOwner {
 public:
  virtual void connection_changed() = 0;

 protected:
  ~ConnectionOwner() = default;
};

class Connection : public RefCounted<Connection> {
 public:
  // Starts ssh and begins to connect.  To be called from a thread that outlives the connection, for
  // ssh ends with it; `owner` and `clock` outlive it too.
  static Result<Ref<Connection>> start(const SshTarget& target,
                                       const std::vector<std::string>& more_options,
                                       const Clock& clock, uint32_t serial, ConnectionOwner& owner);
  ~Connection();

  // Encodes with the id given: encode(packet, id).  False when the connection is not up; the
  // operation is then not called.  It is kept until its answer.
  template <class Encode>
  bool submit(Operation& operation, Encode encode) {
    {
      sync::MutexLock lock(mutex_);
      if (!up()) return false;
      const uint32_t id = next_id_++;
      waiting_.emplace(id, Waiting{&operation, clock_.now()});
      encode(out_, id);
    }
    flush();
    return true;
  }
  // A request whose answer nobody needs: CLOSE.
  void submit_close(std::string_view handle);

  [[nodiscard]] uint32_t serial() const { return serial_; }
  [[nodiscard]] MonoTime now() const { return clock_.now(); }
  [[nodiscard]] bool up() const { return state_.load(std::memory_order_acquire) == State::kUp; }
  [[nodiscard]] bool ended() const {
    return state_.load(std::memory_order_acquire) == State::kEnded;
  }
  // Why, with a sentence for the user; of an ended one.
  [[nodiscard]] Error end_reason() const EXCLUDES(mutex_);
  // Whether it has ever been up.
  [[nodiscard]] bool was_up() const { return was_up_.load(std::memory_order_acquire); }
  // Constant from kUp on.
  [[nodiscard]] const Greeting& greeting() const { return greeting_; }
  // File data asked for and not yet here; the pool spreads by it.
  std::atomic<int64_t> bytes_wanted{0};

  // Ends it: everybody waiting gets failed().
  void end(const Error& error) EXCLUDES(mutex_);
  // The same if nobody waits for an answer; who asks from now on is told ENOTCONN.
  void end_if_idle(const Error& error) EXCLUDES(mutex_);

 private:
  enum class State : uint8_t { kConnecting, kUp, kEnded };
  struct Waiting {
    Operation* operation;  // null: the answer is dropped
    MonoTime since;
  };
  enum class Flushed { kAll, kBlocked, kError };

  Connection(SshProcess process, const SshTarget& target, const Clock& clock, uint32_t serial,
             ConnectionOwner& owner);
  void run();
  Result<void> connect();
  Error serve();
  void flush() EXCLUDES(mutex_);
  Flushed write_out();
  Result<void> read_some();
  Result<void> take_packets();
  Result<bool> take_data(std::span<const std::byte> packet_start, uint32_t length);
  Result<void> dispatch(std::span<const std::byte> payload);
  std::optional<Waiting> take_waiting(uint32_t id) EXCLUDES(mutex_);
  [[nodiscard]] bool is_stalled() EXCLUDES(mutex_);
  void wake();

  const SshTarget target_;
  const Clock& clock_;
  const uint32_t serial_;
  ConnectionOwner& owner_;
  SshProcess process_;
  UniqueFd wake_;  // eventfd: there is something to write, or we end
  Greeting greeting_;
  std::atomic<State> state_{State::kConnecting};  // written under mutex_
  std::atomic<bool> was_up_{false};

  // Of the connection's thread alone.
  std::vector<std::byte> in_;  // received and not yet worked on
  size_t in_begin_ = 0;
  size_t in_end_ = 0;
  size_t in_wanted_ = 0;                 // of a packet that is not whole yet; 0: not known
  Operation* data_operation_ = nullptr;  // whose DATA is half here
  uint64_t data_bytes_ = 0;              // of that DATA
  uint64_t data_done_ = 0;
  MonoTime last_received_{};

  mutable sync::Mutex mutex_{kConnectionLock};
  std::optional<Error> end_reason_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false;  // somebody is in write_out()
  bool blocked_ GUARDED_BY(mutex_) = false;  // the socket is full: the thread goes on
  uint32_t next_id_ GUARDED_BY(mutex_) = 1;
  Packet out_ GUARDED_BY(mutex_);
  Packet writing_out_;  // owned by whoever set writing_
  size_t written_ = 0;  // of writing_out_
  std::unordered_map<uint32_t, Waiting> waiting_ GUARDED_BY(mutex_);

  sync::Thread thread_;
};

}  // namespace netfs::origins::sftp
