#include "origins/sftp/call.h"

#include <utility>

namespace netfs::origins::sftp {

void Call::State::answered(PacketType type, Reader body) {
  Answer answer{.type = type, .body = {}};
  const std::span<const std::byte> rest = body.rest();
  answer.body.assign(rest.begin(), rest.end());
  std::optional<Answer> late;
  {
    sync::MutexLock lock(mutex);
    if (given_up) {
      late = std::move(answer);
    } else {
      outcome = std::move(answer);
    }
    done.notify_all();
  }
  if (late && type == PacketType::kHandle) {
    if (const Result<std::string> handle = decode_handle(late->reader()); handle.ok()) {
      connection->submit_close(handle.value());
    }
  }
  ref_put();  // the connection's
}

void Call::State::failed(const Error& error) {
  {
    sync::MutexLock lock(mutex);
    outcome = error;
    done.notify_all();
  }
  ref_put();
}

Result<Answer> Call::State::wait(Deadline deadline) {
  sync::MutexLock lock(mutex);
  while (!outcome) {
    if (!done.wait_until(mutex, deadline.at) && !outcome) {
      given_up = true;
      return Error(ETIMEDOUT, "sftp.call");
    }
  }
  return *std::exchange(outcome, std::nullopt);
}

}  // namespace netfs::origins::sftp
