#pragma once
// Connection: one SFTP session over one ssh, with many operations under way.
//
// submit() encodes a request and returns; the answer comes to the Operation on the connection's own
// thread.  Requests leave in the order of submit(), and OpenSSH's server works on them in that
// order: an FSTAT submitted after READs sees the file as it is after them.  File data is read from
// the socket straight into its destination.
//
// A connection ends once: ssh dies, the server talks nonsense, or nothing comes for `timeout` while
// somebody waits.  Then every operation gets failed(), and submit() refuses.
//
// Thread-safe; no I/O under its lock.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/unique_fd.h"
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
  // Where DATA goes; it never holds more than this, or the server lies.
  [[nodiscard]] virtual std::span<std::byte> destination() const { return {}; }
};

struct ConnectionCounters {
  std::atomic<uint64_t> bytes_received{0};
  std::atomic<uint64_t> requests{0};
};

class Connection : public RefCounted<Connection> {
 public:
  // Starts ssh and shakes hands; to be called from a thread that outlives the connection.
  static Result<Ref<Connection>> connect(const SshTarget& target,
                                         const std::vector<std::string>& more_options,
                                         const Clock& clock, uint32_t serial);
  ~Connection();

  // Encodes with the id given: encode(packet, id).  False when the connection has ended; the
  // operation is then not called.  It is kept until its answer.
  template <class Encode>
  bool submit(Operation& operation, Encode encode) {
    uint32_t id = 0;
    {
      sync::MutexLock lock(mutex_);
      if (ended_) return false;
      id = next_id_++;
      waiting_.emplace(id, Waiting{&operation, clock_.now()});
      encode(out_, id);
    }
    counters_.requests.fetch_add(1, std::memory_order_relaxed);
    flush();
    return true;
  }
  // A request whose answer nobody needs: CLOSE.
  void submit_close(std::string_view handle);

  [[nodiscard]] uint32_t serial() const { return serial_; }
  [[nodiscard]] bool ended() const { return ended_flag_.load(std::memory_order_acquire); }
  [[nodiscard]] Duration round_trip() const { return round_trip_; }
  [[nodiscard]] const ServerVersion& version() const { return version_; }
  [[nodiscard]] uint64_t read_bytes_max() const { return read_bytes_max_; }
  [[nodiscard]] const ConnectionCounters& counters() const { return counters_; }
  // File data asked for and not yet here; the pool spreads by it.
  std::atomic<int64_t> bytes_wanted{0};

  // Ends it: everybody waiting gets failed().
  void end(const Error& error);

 private:
  struct Waiting {
    Operation* operation;  // null: the answer is dropped
    MonoTime since;
  };
  enum class Flushed { kAll, kBlocked, kError };

  Connection(SshProcess process, const SshTarget& target, const Clock& clock, uint32_t serial);
  Result<void> shake_hands();
  Result<std::vector<std::byte>> receive_blocking(Deadline deadline);
  Result<void> send_blocking(std::span<const std::byte> bytes, Deadline deadline);
  void flush();
  Flushed write_out();
  void run();
  Result<void> read_some();
  Result<void> take_packets();
  Result<bool> take_data(std::span<const std::byte> packet_start, uint32_t length);
  Result<void> dispatch(std::span<const std::byte> payload);
  Operation* take_waiting(uint32_t id);
  [[nodiscard]] bool is_stalled();

  const SshTarget target_;
  const Clock& clock_;
  const uint32_t serial_;
  SshProcess process_;
  UniqueFd wake_;  // eventfd: there is something to write, or we end
  ServerVersion version_;
  uint64_t read_bytes_max_ = 32 * 1024;  // what every server must take
  Duration round_trip_{};
  ConnectionCounters counters_;
  std::atomic<bool> ended_flag_{false};

  // Of the connection's thread alone.
  std::vector<std::byte> in_;  // received and not yet worked on
  size_t in_begin_ = 0;
  size_t in_end_ = 0;
  Operation* data_operation_ = nullptr;  // whose DATA is half here
  uint64_t data_bytes_ = 0;              // of that DATA
  uint64_t data_done_ = 0;
  MonoTime last_received_{};

  sync::Mutex mutex_{kConnectionLock};
  bool ended_ GUARDED_BY(mutex_) = false;
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
