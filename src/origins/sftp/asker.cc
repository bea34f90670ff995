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

Result<NodeInfo> info_of(const Result<Answer>& answer, const char* context) {
  if (!answer.ok()) return answer.error();
  TRY(expect(answer.value(), PacketType::kAttrs, context));
  return answer.value().reader().attributes();
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

Result<NodeInfo> Asker::info_at(const std::string& path, const Result<Answer>& answer) {
  Result<NodeInfo> info = info_of(answer, "sftp.stat");
  if (!info.ok()) return for_path(std::move(info).error(), path);
  return info;
}

Result<NodeInfo> Asker::stat(const std::string& path, Deadline deadline) {
  return info_at(path, ask(deadline, look_at(path)));
}

}  // namespace netfs::origins::sftp
