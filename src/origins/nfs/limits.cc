#include "origins/nfs/limits.h"

#include <algorithm>

namespace netfs::origins::nfs {

namespace {

constexpr uint64_t kTransferMax = 1 << 20;
constexpr uint64_t kTransferMin = 4096;
// Times of a change are those of the last tick of the server's kernel, whatever their unit is.
constexpr Duration kFinest = std::chrono::milliseconds(10);
constexpr Duration kCoarsest = std::chrono::seconds(2);

}  // namespace

ServerLimits limits_of(uint64_t read_bytes, uint64_t write_bytes, Duration unit) {
  const auto transfer = [](uint64_t bytes) {
    return static_cast<uint32_t>(std::clamp(bytes, kTransferMin, kTransferMax));
  };
  return {.read_bytes_max = transfer(read_bytes),
          .write_bytes_max = transfer(write_bytes),
          .granularity = std::clamp(unit, kFinest, kCoarsest)};
}

Result<ServerLimits> ask_limits(Caller& caller, const Handle& root, Deadline deadline) {
  return caller.ask<FSINFO3res>(
      [root](rpc_context* rpc, rpc_cb answered, void* call) {
        FSINFO3args args{.fsroot = to_wire(root)};
        return ::rpc_nfs3_fsinfo_async(rpc, answered, &args, call);
      },
      [](const FSINFO3res& answer) -> Result<ServerLimits> {
        if (answer.status != NFS3_OK) return Error(errno_of(answer.status), "nfs.fsinfo");
        const FSINFO3resok& info = answer.FSINFO3res_u.resok;
        const Duration unit = std::chrono::seconds(info.time_delta.seconds) +
                              std::chrono::nanoseconds(info.time_delta.nseconds);
        return limits_of(info.rtmax, info.wtmax, unit);
      },
      deadline);
}

Result<uint32_t> ask_access(Caller& caller, const Handle& file, uint32_t wanted,
                            Deadline deadline) {
  return caller.ask<ACCESS3res>(
      [file, wanted](rpc_context* rpc, rpc_cb answered, void* call) {
        ACCESS3args args{.object = to_wire(file), .access = wanted};
        return ::rpc_nfs3_access_async(rpc, answered, &args, call);
      },
      [](const ACCESS3res& answer) -> Result<uint32_t> {
        if (answer.status != NFS3_OK) return Error(errno_of(answer.status), "nfs.access");
        return uint32_t{answer.ACCESS3res_u.resok.access};
      },
      deadline);
}

}  // namespace netfs::origins::nfs
