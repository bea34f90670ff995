#pragma once
// Batch: requests that leave one behind the other on one connection, and whose answers are waited
// for afterwards: all of them take one round trip.
//
// What it may hold: requests that need no answer of an earlier one.  Version 3 of the protocol (the
// draft's 6.1) promises of requests to one file that the results are those of requests sent one at
// a time; it promises nothing of different files, and nobody here relies on that.  A request is
// carried out although one before it failed: so none is put behind one whose failure it must not
// survive.  The answer of an OPEN is to be taken, or its handle is never closed.
//
// As Call: made, filled, waited for and destroyed by one thread, that keeps the connection.
//
//   Batch batch(connection);
//   batch.ask([&](Packet& out, uint32_t id) { append_set(out, PacketType::kMkdir, id, ...); });
//   batch.ask([&](Packet& out, uint32_t id) { append_path_request(out, PacketType::kLstat, ...);
//   }); const Result<Answer> made = batch.answer(deadline); const Result<Answer> seen =
//   batch.answer(deadline);

#include <deque>
#include <utility>

#include "base/assert.h"
#include "origins/sftp/call.h"

namespace netfs::origins::sftp {

class Batch {
 public:
  explicit Batch(Connection& connection) : connection_(connection) {}

  template <class Encode>
  void ask(Encode encode) {
    Asked& asked = asked_.emplace_back();
    asked.sent = asked.call.submit(connection_, std::move(encode)).ok();
  }

  // Of the request that was asked first and has not been answered here.  ENOTCONN: the connection
  // ended before or after it was carried out; ETIMEDOUT.
  Result<Answer> answer(Deadline deadline) {
    NETFS_ASSERT(!asked_.empty());
    Asked asked = std::move(asked_.front());
    asked_.pop_front();
    if (!asked.sent) return Error(ENOTCONN, "sftp.batch");
    return asked.call.wait(deadline);
  }

 private:
  struct Asked {
    Call call;
    bool sent = false;
  };
  Connection& connection_;
  std::deque<Asked> asked_;
};

}  // namespace netfs::origins::sftp
