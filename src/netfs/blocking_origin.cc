#include "netfs/blocking_origin.h"

#include <utility>

namespace netfs {

BlockingOrigin::BlockingOrigin(Options options)
    : options_(std::move(options)), pool_({.name = options_.name, .threads = options_.threads}) {}

BlockingOrigin::~BlockingOrigin() {
  stop();
}

void BlockingOrigin::stop() {
  pool_.stop();
}

std::optional<Validator> BlockingOrigin::validator(OriginFile& /*file*/) {
  return std::nullopt;
}

Result<std::string> BlockingOrigin::read_link(const std::string& /*path*/, Deadline /*deadline*/) {
  return Error(EINVAL, "origin.read_link");
}

Result<FileSystemStats> BlockingOrigin::stat_file_system(Deadline /*deadline*/) {
  return FileSystemStats{};
}

void BlockingOrigin::issue_read(Subrequest& subrequest) {
  if (!pool_.post([this, &subrequest] { run(subrequest); })) {
    subrequest.terminated({.transferred_bytes = Error(ENOTCONN, "origin.read")});
  }
}

void BlockingOrigin::run(Subrequest& subrequest) {
  ReadOutcome outcome;
  const ByteRange range = subrequest.range();
  outcome.transferred_bytes =
      read(subrequest.file(), range.offset_bytes, subrequest.destination(), subrequest.deadline());
  if (outcome.transferred_bytes.ok()) outcome.validator_after = validator(subrequest.file());
  subrequest.terminated(std::move(outcome));
}

}  // namespace netfs
