#pragma once
// Asker: one question to the server and its answer, on whichever connection is up: what the reading
// and the writing half of SftpOrigin share.
//
// A question whose connection is lost is put again on another one until the deadline.  One that
// changes something may then have been carried out twice or once: who asks is told that an attempt
// was lost, and makes of the answer what it must.
//
// Thread-safe.  The pool outlives it.
//
//   const Answer answer = TRY(asker.ask(deadline, [&](Packet& out, uint32_t id) {
//     append_path_request(out, PacketType::kRmdir, id, asker.absolute(path));
//   }));

#include <string>
#include <utility>

#include "base/clock.h"
#include "origins/sftp/batch.h"
#include "origins/sftp/call.h"
#include "origins/sftp/pool.h"

namespace netfs::origins::sftp {

// The answer must be of this type; a STATUS is its error.
Result<void> expect(const Answer& answer, PacketType type, const char* context);
// The answer must be STATUS kOk.
Result<void> expect_ok(const Answer& answer, const char* context);
// What LSTAT, STAT or FSTAT answered.
Result<NodeInfo> info_of(const Result<Answer>& answer, const char* context);
// Version 3 has few words for what went wrong; what the path itself tells is said better.
Error for_path(Error error, const std::string& path);

class Asker {
 public:
  // `root`: absolute at the server, no slash at the end but for "/".
  Asker(Pool& pool, std::string root, const Clock& clock)
      : pool_(pool), root_(std::move(root)), clock_(clock) {}

  [[nodiscard]] Pool& pool() { return pool_; }
  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] MonoTime now() const { return clock_.now(); }
  [[nodiscard]] std::string absolute(const std::string& path) const;

  // work(connection) on any connection; again on another when that one is lost, until the deadline.
  template <class Work>
  auto on_connection(Deadline deadline, Work work) -> decltype(work(std::declval<Connection&>())) {
    for (;;) {
      const Ref<Connection> connection = TRY(pool_.acquire(deadline));
      auto result = work(*connection);
      if (!result.is_error(ENOTCONN)) return result;
      if (deadline.passed(clock_.now())) return Error(ETIMEDOUT, "sftp.ask");
    }
  }

  // One request and its answer.
  template <class Encode>
  Result<Answer> ask(Deadline deadline, Encode encode) {
    return on_connection(deadline, [&](Connection& connection) -> Result<Answer> {
      Call call;
      TRY(call.submit(connection, encode));
      return call.wait(deadline);
    });
  }

  // The same for a request that changes something: `lost` says whether an attempt was lost.
  template <class Encode>
  Result<Answer> ask_to_change(Deadline deadline, bool& lost, Encode encode) {
    unsigned attempts = 0;
    return on_connection(deadline, [&](Connection& connection) -> Result<Answer> {
      lost = attempts++ > 0;
      Call call;
      TRY(call.submit(connection, encode));
      return call.wait(deadline);
    });
  }

  // A stat() in two halves, for a Batch.
  [[nodiscard]] auto look_at(const std::string& path) const {
    return [type = path.empty() ? PacketType::kStat : PacketType::kLstat, full = absolute(path)](
               Packet& out, uint32_t id) { append_path_request(out, type, id, full); };
  }
  static Result<NodeInfo> info_at(const std::string& path, const Result<Answer>& answer);

  // The same as ask_to_change(), and in the same round trip what the path shows once it is done.
  struct Changed {
    Answer answer;
    Result<NodeInfo> seen;
  };
  template <class Encode>
  Result<Changed> change_and_look(const std::string& path, Deadline deadline, bool& lost,
                                  Encode encode) {
    unsigned attempts = 0;
    Result<Changed> changed =
        on_connection(deadline, [&](Connection& connection) -> Result<Changed> {
          lost = attempts++ > 0;
          Batch batch(connection);
          batch.ask(encode);
          batch.ask(look_at(path));
          Answer answer = TRY(batch.answer(deadline));
          return Changed{std::move(answer), info_at(path, batch.answer(deadline))};
        });
    // Lost with its connection, behind a change that is known to be done; or looked at before it
    // was, for no server promises the order.
    const bool unseen = changed.ok() && (changed.value().seen.is_error(ENOTCONN) ||
                                         (changed.value().seen.is_error(ENOENT) &&
                                          expect_ok(changed.value().answer, "sftp.change").ok()));
    if (unseen) changed.value().seen = stat(path, deadline);
    return changed;
  }

  // LSTAT; the root itself may be a link at the server and is shown as what it leads to.
  Result<NodeInfo> stat(const std::string& path, Deadline deadline);

 private:
  Pool& pool_;
  const std::string root_;
  const Clock& clock_;
};

}  // namespace netfs::origins::sftp
