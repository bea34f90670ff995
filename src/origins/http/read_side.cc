#include "origins/http/read_side.h"

#include <spdlog/fmt/fmt.h>

#include "origins/http/stream_record.h"
#include "telemetry/log.h"

namespace netfs::origins::http {

ReadSide::ReadSide(Engine& the_engine)
    : engine(the_engine), turns(the_engine), records(std::make_unique<StreamRecords>()) {}
ReadSide::~ReadSide() = default;

Result<void> refuse_encoding(ReadSide& side, const ResponseHead& head, const std::string& url) {
  if (head.encoding().empty()) return {};
  const std::string why = fmt::format(
      "{}: the server sends it as '{}' although asked not to: these are not the file's "
      "bytes",
      url, head.encoding().substr(0, 40));
  if (!side.encoding_told.exchange(true)) {
    telemetry::log_warn("http", "{}; such files cannot be read (said once)", why);
  }
  return Error(EIO, "http.encoding", why);
}

}  // namespace netfs::origins::http
