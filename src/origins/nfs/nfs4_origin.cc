#include "origins/nfs/nfs4_origin.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "origins/nfs/mounting.h"
#include "origins/nfs/mounting4.h"
#include "origins/nfs/nfs_file.h"
#include "origins/nfs/status.h"

namespace netfs::origins::nfs {

namespace {

constexpr AttributeMask kSpaceMask =
    mask_of({FATTR4_FILES_AVAIL, FATTR4_FILES_FREE, FATTR4_FILES_TOTAL, FATTR4_MAXNAME,
             FATTR4_SPACE_AVAIL, FATTR4_SPACE_FREE, FATTR4_SPACE_TOTAL});

Result<READ4resok> bytes_of(Answers& answers, std::span<std::byte> destination) {
  TRY(answers.skip({OP_PUTFH}));
  const nfs_resop4 said = TRY(answers.next(OP_READ));
  const READ4resok& read = said.nfs_resop4_u.opread.READ4res_u.resok4;
  if (read.data.data_len > destination.size()) {
    return Error(EIO, "nfs.read", "the server sent more than was asked for");
  }
  if (read.data.data_len > 0) {
    std::memcpy(destination.data(), read.data.data_val, read.data.data_len);
  }
  return read;
}

ReadOutcome outcome_of(const COMPOUND4res& came, std::span<std::byte> destination) {
  ReadOutcome outcome;
  Answers answers(came, "nfs.read");
  const Result<READ4resok> read = bytes_of(answers, destination);
  if (!read.ok()) {
    outcome.transferred_bytes = read.error();
    return outcome;
  }
  outcome.transferred_bytes = uint64_t{read.value().data.data_len};
  // A server that answers without a byte would be asked for ever: it counts as the end of file.
  outcome.hit_end_of_file = read.value().eof != 0 || read.value().data.data_len == 0;
  if (const Result<nfs_resop4> said = answers.next(OP_GETATTR); said.ok()) {
    Result<Shown> after =
        shown_of(said.value().nfs_resop4_u.opgetattr.GETATTR4res_u.resok4.obj_attributes);
    if (after.ok()) outcome.validator_after = std::move(after.value().info.validator);
  }
  return outcome;
}

}  // namespace

Nfs4Origin::Nfs4Origin(Settings settings, std::unique_ptr<Pool> pool, Handle root,
                       const ServerLimits& limits)
    : settings_(std::move(settings)),
      root_(std::move(root)),
      capabilities_{.validator_granularity = limits.granularity,
                    .identity = true,
                    .handles_outlive_connections = true,
                    .read_bytes_max = limits.read_bytes_max},
      pool_(std::move(pool)),
      caller_(*pool_),
      names_(caller_, owners_, root_) {}

Result<std::unique_ptr<Origin>> Nfs4Origin::open(const OriginRequest& request, Settings settings) {
  const Deadline deadline = Deadline::after(*request.clock, request.timeout);
  // What is wrong with the port is said at once, and not only when the time is up.
  TRY(Rpc::connect(nfs_target(settings), deadline));
  auto pool = std::make_unique<Pool>(nfs_target(settings), settings.connections, settings.timeout);
  Caller caller(*pool);
  Owners owners;
  Handle root = TRY(find_root(settings, caller, owners, deadline));
  const ServerLimits limits = TRY(ask_limits_4(caller, root, deadline));
  return std::unique_ptr<Origin>(
      new Nfs4Origin(std::move(settings), std::move(pool), std::move(root), limits));
}

Result<NodeInfo> Nfs4Origin::stat(const std::string& path, Deadline deadline) {
  return TRY(names_.find(path, deadline)).info;
}

Result<std::string> Nfs4Origin::read_link(const std::string& path, Deadline deadline) {
  const Found found = TRY(names_.find(path, deadline));
  if (found.info.attributes.type != FileType::kSymlink) return Error(EINVAL, "nfs.readlink");
  return names_.read_link(found.handle, deadline);
}

Result<FileSystemStats> Nfs4Origin::stat_file_system(Deadline deadline) {
  return ask_compound(
      caller_, Compound().put(root_).get_attributes(kSpaceMask), "nfs.getattr",
      [](Answers& answers) -> Result<FileSystemStats> {
        TRY(answers.skip({OP_PUTFH}));
        const nfs_resop4 said = TRY(answers.next(OP_GETATTR));
        const Told told =
            TRY(told_of(said.nfs_resop4_u.opgetattr.GETATTR4res_u.resok4.obj_attributes));
        FileSystemStats stats;
        stats.blocks = told.space_total.value_or(0) / stats.block_bytes;
        stats.blocks_free = told.space_free.value_or(0) / stats.block_bytes;
        stats.blocks_available = told.space_available.value_or(0) / stats.block_bytes;
        stats.files = told.files_total.value_or(0);
        stats.files_free = told.files_free.value_or(0);
        stats.name_length_max = told.name_length.value_or(stats.name_length_max);
        return stats;
      },
      deadline);
}

Result<std::unique_ptr<OriginFile>> Nfs4Origin::open(const std::string& path, Deadline deadline) {
  const Found found = TRY(names_.find(path, deadline));
  const FileType type = found.info.attributes.type;
  if (type != FileType::kRegular) return not_regular(type);
  if (!TRY(may_read(caller_, found.handle, deadline))) return Error(EACCES, "nfs.open");
  return std::unique_ptr<OriginFile>(
      std::make_unique<NfsFile>(found.handle, fileid_of(found.info), nullptr));
}

void Nfs4Origin::issue_read(Subrequest& subrequest) {
  const ByteRange range = subrequest.range();
  const auto count =
      static_cast<uint32_t>(std::min<uint64_t>(range.length_bytes, capabilities_.read_bytes_max));
  const Compound asked = Compound()
                             .put(static_cast<NfsFile&>(subrequest.file()).handle())
                             .read(range.offset_bytes, count)
                             .get_attributes(kVersionMask);
  Connection* connection = pool_->try_acquire();
  const bool taken =
      connection != nullptr &&
      connection->submit(
          [asked](rpc_context* rpc, rpc_cb answered, void* call) {
            return asked.send(rpc, answered, call);
          },
          [&subrequest](Result<void*> answer) {
            if (!answer.ok()) return subrequest.terminated({.transferred_bytes = answer.error()});
            subrequest.terminated(outcome_of(*static_cast<const COMPOUND4res*>(answer.value()),
                                             subrequest.destination()));
          },
          subrequest.deadline());
  // None up: the library waits and tries again, within its own limits.
  if (!taken) subrequest.terminated({.transferred_bytes = Error(ENOTCONN, "nfs.read")});
}

StatusFields Nfs4Origin::status() const {
  const Pool::State state = pool_->state();
  StatusFields fields = status_of(settings_, state);
  fields.emplace_back("version", "4.0, which reads only");
  if (!state.last_error.empty()) fields.emplace_back("error", state.last_error);
  return fields;
}

}  // namespace netfs::origins::nfs
