#include "origins/sftp/asker.h"

#include <algorithm>
#include <climits>

namespace netfs::origins::sftp {

Result<void> expect(const Answer& answer, PacketType type, const char* context) {
  if (answer.type == type) return {};
  if (answer.type != PacketType::kStatus) return Error(EIO, context);
  const Status status = TRY(answer.status());
  const int code = errno_of(status);
  return Error(code != 0 ? code : EIO, context);
}

Result<void> expect_ok(const Answer& answer, const char* context) {
  if (answer.type != PacketType::kStatus) return Error(EIO, context);
  const Status status = TRY(answer.status());
  if (status == Status::kOk) return {};
  const int code = errno_of(status);
  return Error(code != 0 ? code : EIO, context);
}

Error for_path(Error error, const std::string& path) {
  size_t longest = 0;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    longest = std::max(longest, end - at);
    at = end + 1;
  }
  const bool too_long = longest > NAME_MAX || path.size() >= PATH_MAX;
  if (error.code() == EINVAL && too_long) return Error(ENAMETOOLONG, error.context());
  return error;
}

std::string Asker::absolute(const std::string& path) const {
  if (path.empty()) return root_;
  return root_ == "/" ? root_ + path : root_ + "/" + path;
}

Result<NodeInfo> Asker::stat(const std::string& path, Deadline deadline) {
  const PacketType type = path.empty() ? PacketType::kStat : PacketType::kLstat;
  const std::string full = absolute(path);
  const Answer answer = TRY(
      ask(deadline, [&](Packet& out, uint32_t id) { append_path_request(out, type, id, full); }));
  if (Result<void> is = expect(answer, PacketType::kAttrs, "sftp.stat"); !is.ok()) {
    return for_path(std::move(is).error(), path);
  }
  return answer.reader().attributes();
}

}  // namespace netfs::origins::sftp
