#include "origins/nfs/nfs_origin.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <spdlog/fmt/fmt.h>
#include <utility>

#include "origins/nfs/mounting.h"
#include "origins/nfs/nfs_file.h"
#include "origins/nfs/status.h"

namespace netfs::origins::nfs {

namespace {

ReadOutcome outcome_of(const READ3res& answer, std::span<std::byte> destination) {
  ReadOutcome outcome;
  if (answer.status != NFS3_OK) {
    outcome.transferred_bytes = Error(errno_of(answer.status), "nfs.read");
    return outcome;
  }
  const READ3resok& read = answer.READ3res_u.resok;
  if (read.data.data_len > destination.size()) {
    outcome.transferred_bytes = Error(EIO, "nfs.read", "the server sent more than was asked for");
    return outcome;
  }
  if (read.data.data_len > 0) {
    std::memcpy(destination.data(), read.data.data_val, read.data.data_len);
  }
  outcome.transferred_bytes = uint64_t{read.data.data_len};
  // A server that answers without a byte would be asked for ever: it counts as the end of file.
  outcome.hit_end_of_file = read.eof != 0 || read.data.data_len == 0;
  if (std::optional<NodeInfo> after = info_of(read.file_attributes)) {
    outcome.validator_after = std::move(after->validator);
  }
  return outcome;
}

}  // namespace

NfsOrigin::NfsOrigin(Settings settings, std::unique_ptr<Pool> pool, Handle root,
                     const ServerLimits& limits)
    : settings_(std::move(settings)),
      root_(std::move(root)),
      limits_(limits),
      capabilities_{.validator_granularity = limits.granularity,
                    .identity = true,
                    .handles_outlive_connections = true,
                    .read_bytes_max = limits.read_bytes_max},
      pool_(std::move(pool)),
      caller_(*pool_),
      names_(caller_, root_),
      writer_(caller_, names_, limits, settings_.timeout) {}

Result<std::unique_ptr<Origin>> NfsOrigin::open(const OriginRequest& request, Settings settings) {
  const Deadline deadline = Deadline::after(*request.clock, request.timeout);
  // What is wrong with the port is said at once, and not only when the time is up.
  TRY(Rpc::connect(nfs_target(settings), deadline));
  auto pool = std::make_unique<Pool>(nfs_target(settings), settings.connections, settings.timeout);
  Caller caller(*pool);
  Handle root = TRY(mount_root(settings, caller, deadline));
  const ServerLimits limits = TRY(ask_limits(caller, root, deadline));
  return std::unique_ptr<Origin>(
      new NfsOrigin(std::move(settings), std::move(pool), std::move(root), limits));
}

std::string NfsOrigin::volume_key() const {
  return settings_.volume_key();
}

Result<NodeInfo> NfsOrigin::stat(const std::string& path, Deadline deadline) {
  return TRY(names_.find(path, deadline)).info;
}

Result<std::string> NfsOrigin::read_link(const std::string& path, Deadline deadline) {
  const Found found = TRY(names_.find(path, deadline));
  if (found.info.attributes.type != FileType::kSymlink) return Error(EINVAL, "nfs.readlink");
  return names_.read_link(found.handle, deadline);
}

Result<FileSystemStats> NfsOrigin::stat_file_system(Deadline deadline) {
  const Handle root = root_;
  return caller_.ask<FSSTAT3res>(
      [root](rpc_context* rpc, rpc_cb answered, void* call) {
        FSSTAT3args args{.fsroot = to_wire(root)};
        return ::rpc_nfs3_fsstat_async(rpc, answered, &args, call);
      },
      [](const FSSTAT3res& answer) -> Result<FileSystemStats> {
        if (answer.status != NFS3_OK) return Error(errno_of(answer.status), "nfs.fsstat");
        const FSSTAT3resok& says = answer.FSSTAT3res_u.resok;
        FileSystemStats stats;
        stats.blocks = says.tbytes / stats.block_bytes;
        stats.blocks_free = says.fbytes / stats.block_bytes;
        stats.blocks_available = says.abytes / stats.block_bytes;
        stats.files = says.tfiles;
        stats.files_free = says.ffiles;
        return stats;
      },
      deadline);
}

// The protocol opens nothing: whether it may be read is asked, and an open file is its handle.
Result<std::unique_ptr<OriginFile>> NfsOrigin::open(const std::string& path, Deadline deadline) {
  const Found found = TRY(names_.find(path, deadline));
  const FileType type = found.info.attributes.type;
  if (type != FileType::kRegular) return not_regular(type);
  const uint32_t allowed = TRY(ask_access(caller_, found.handle, ACCESS3_READ, deadline));
  if ((allowed & ACCESS3_READ) == 0) return Error(EACCES, "nfs.open");
  return std::unique_ptr<OriginFile>(
      std::make_unique<NfsFile>(found.handle, fileid_of(found.info), nullptr));
}

void NfsOrigin::issue_read(Subrequest& subrequest) {
  const Handle handle = static_cast<NfsFile&>(subrequest.file()).handle();
  const ByteRange range = subrequest.range();
  const auto count =
      static_cast<uint32_t>(std::min<uint64_t>(range.length_bytes, limits_.read_bytes_max));
  Connection* connection = pool_->try_acquire();
  const bool taken =
      connection != nullptr &&
      connection->submit(
          [handle, range, count](rpc_context* rpc, rpc_cb answered, void* call) {
            READ3args args{.file = to_wire(handle), .offset = range.offset_bytes, .count = count};
            return ::rpc_nfs3_read_async(rpc, answered, &args, call);
          },
          [&subrequest](Result<void*> answer) {
            if (!answer.ok()) return subrequest.terminated({.transferred_bytes = answer.error()});
            subrequest.terminated(outcome_of(*static_cast<const READ3res*>(answer.value()),
                                             subrequest.destination()));
          },
          subrequest.deadline());
  // None up: the library waits and tries again, within its own limits.
  if (!taken) subrequest.terminated({.transferred_bytes = Error(ENOTCONN, "nfs.read")});
}

StatusFields NfsOrigin::status() const {
  const Pool::State state = pool_->state();
  StatusFields fields = status_of(settings_, state);
  fields.emplace_back("bytes not committed", std::to_string(writer_.unstable_bytes()));
  if (const Unstable::Refused refused = writer_.refused(); refused.bytes > 0) {
    fields.emplace_back("bytes that the server refuses to take again",
                        fmt::format("{}: {}", refused.bytes, strerror(refused.error)));
  }
  if (!state.last_error.empty()) fields.emplace_back("error", state.last_error);
  return fields;
}

}  // namespace netfs::origins::nfs
