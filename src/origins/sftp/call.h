#pragma once
// Call: one request whose caller waits for the answer; for metadata, on a metadata worker.
//
// Thread-safety: made, submitted once, waited for and destroyed by one thread.  Whoever gives up at
// the deadline may go: what the answer is written to lives on by itself, and a handle that comes
// too late is closed.
//
//   Call call;
//   TRY(call.submit(*connection, [&](Packet& out, uint32_t id) { append_open(out, id, path); }));
//   Answer answer = TRY(call.wait(deadline));

#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/ref.h"
#include "base/result.h"
#include "origins/sftp/connection.h"
#include "origins/sftp/lock_classes.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::origins::sftp {

struct Answer {
  PacketType type{};
  std::vector<std::byte> body;  // after the id

  [[nodiscard]] Reader reader() const { return Reader(body); }
  // The error that a STATUS stands for; kOk and kEof too are answered as given.
  [[nodiscard]] Result<Status> status() const { return decode_status(reader()); }
};

class Call {
 public:
  Call() : state_(make_ref<State>()) {}

  // Submits on a connection; ENOTCONN when it has ended.
  template <class Encode>
  Result<void> submit(Connection& connection, Encode encode) {
    state_->connection = &connection;
    state_->ref_get();  // the connection's, until the answer
    if (connection.submit(*state_, std::move(encode))) return {};
    state_->ref_put();
    return Error(ENOTCONN, "sftp.call");
  }

  // The answer; ETIMEDOUT at the deadline, what ended the connection if that ended.
  Result<Answer> wait(Deadline deadline) { return state_->wait(deadline); }

 private:
  // Held by the caller and by the connection.
  struct State final : Operation, RefCounted<State> {
    void answered(PacketType type, Reader body) override;
    void failed(const Error& error) override;
    Result<Answer> wait(Deadline deadline) EXCLUDES(mutex);

    Connection* connection = nullptr;  // alive while it answers
    sync::Mutex mutex{kCallLock};
    sync::CondVar done;
    bool given_up GUARDED_BY(mutex) = false;
    std::optional<Result<Answer>> outcome GUARDED_BY(mutex);
  };
  Ref<State> state_;
};

}  // namespace netfs::origins::sftp
