#include "origins/nfs/mounting.h"

#include <algorithm>
#include <cerrno>
#include <list>
#include <optional>
#include <utility>

#include "origins/nfs/names3.h"
#include "origins/nfs/walk.h"

namespace netfs::origins::nfs {

namespace {

RpcTarget mount_target(const Settings& settings) {
  RpcTarget target = nfs_target(settings);
  target.port = settings.mount_port;
  target.program = MOUNT_PROGRAM;
  target.version = MOUNT_V3;
  target.service = "mount service";
  return target;
}

struct Mounting {
  std::optional<Result<Handle>> result;
};

void mounted(rpc_context* /*context*/, int status, void* data, void* mounting) {
  auto& result = static_cast<Mounting*>(mounting)->result;
  if (status != RPC_STATUS_SUCCESS) {
    const std::string says =
        status == RPC_STATUS_ERROR && data != nullptr ? static_cast<const char*>(data) : "";
    const int code = errno_of_refusal(says);
    result = Error(code, "nfs.mount", code == ENOTCONN ? "the mount service hung up" : says);
    return;
  }
  const auto& answer = *static_cast<const mountres3*>(data);
  if (answer.fhs_status != MNT3_OK) {
    result = Error(errno_of(answer.fhs_status), "nfs.mount");
    return;
  }
  const auto& handle = answer.mountres3_u.mountinfo.fhandle;
  result = Handle(handle.fhandle3_val, handle.fhandle3_len);
}

// libnfs has the place of the answer until it is there or the connection goes.
Result<Handle> ask_mount(Rpc& rpc, std::list<Mounting>& asked, const std::string& path,
                         Deadline deadline) {
  Mounting& mounting = asked.emplace_back();
  std::string copy = path;
  if (::rpc_mount3_mnt_async(rpc.context(), &mounted, copy.data(), &mounting) != 0) {
    return Error(EIO, "nfs.mount", complaint_of(rpc.context()));
  }
  while (!mounting.result) {
    if (deadline.passed(Clock::system().now())) {
      return Error(ETIMEDOUT, "nfs.mount", "the mount service does not answer");
    }
    const Result<void> served = rpc.service(deadline.at);
    if (!served.ok() && !mounting.result) return served.error();
  }
  return *std::move(mounting.result);
}

}  // namespace

RpcTarget nfs_target(const Settings& settings) {
  return {.host = settings.host,
          .port = settings.nfs_port,
          .program = NFS_PROGRAM,
          .version = settings.version == 4 ? NFS_V4 : NFS_V3,
          .service = settings.version == 4 ? "NFS version 4" : "NFS",
          .uid = settings.uid,
          .gid = settings.gid,
          .groups = settings.groups,
          .gone_after = std::clamp<Duration>(settings.timeout / 3, std::chrono::seconds(2),
                                             std::chrono::seconds(10))};
}

Result<Handle> mount_root(const Settings& settings, Caller& caller, Deadline deadline) {
  std::list<Mounting> asked;  // outlives the connection
  const std::unique_ptr<Rpc> rpc = TRY(Rpc::connect(mount_target(settings), deadline));
  const auto refused = [&](const Error& error) {
    return not_mounted(settings, error,
                       error.code() == EACCES ? "is it exported, and to this host?" : "");
  };
  std::string path = settings.path;
  for (unsigned links = 0; links < kLinksMax; ++links) {
    std::string top = path;
    std::string rest;
    Result<Handle> handle = ask_mount(*rpc, asked, top, deadline);
    const Result<void> first = handle.ok() ? Result<void>() : Result<void>(handle.error());
    while (!handle.ok() && top.size() > 1 && !handle.is_error(ETIMEDOUT) &&
           !handle.is_error(ENOTCONN)) {
      rest = top.substr(top.rfind('/') + 1) + (rest.empty() ? "" : "/" + rest);
      top = above(top);
      handle = ask_mount(*rpc, asked, top, deadline);
    }
    if (!handle.ok()) return refused(first.error());
    Names3 names(caller, handle.value());
    Result<Walked> walked = walk(names, std::move(handle).value(), top, rest, deadline);
    if (!walked.ok()) return refused(walked.error());
    if (walked.value().elsewhere.empty()) return std::move(walked).value().handle;
    path = walked.value().elsewhere;
  }
  return refused(Error(ELOOP, "nfs.mount"));
}

}  // namespace netfs::origins::nfs
