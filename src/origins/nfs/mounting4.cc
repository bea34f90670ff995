#include "origins/nfs/mounting4.h"

#include <cerrno>
#include <utility>

#include "origins/nfs/names4.h"
#include "origins/nfs/walk.h"

namespace netfs::origins::nfs {

namespace {

constexpr uint64_t kTransfer = 1 << 16;  // of a server that does not say
constexpr AttributeMask kLimitsMask = mask_of({FATTR4_MAXREAD, FATTR4_MAXWRITE, FATTR4_TIME_DELTA});

const char* hint_of(const Error& error) {
  if (error.code() == ENOENT) return "by version 4 a path begins at the server's pseudo root";
  if (error.code() == EACCES) return "is it exported to this host, and with sec=sys?";
  return "";
}

Result<Handle> find_path(Names4& names, const Handle& top, std::string path, Deadline deadline) {
  for (unsigned links = 0; links < kLinksMax; ++links) {
    Walked walked = TRY(walk(names, top, "", path, deadline));
    if (walked.elsewhere.empty()) return std::move(walked.handle);
    path = std::move(walked.elsewhere);
  }
  return Error(ELOOP, "nfs.mount");
}

}  // namespace

Result<Handle> find_root(const Settings& settings, Caller& caller, Owners& owners,
                         Deadline deadline) {
  Result<Handle> top = ask_compound(
      caller, Compound().put_root().get_handle(), "nfs.mount",
      [](Answers& answers) -> Result<Handle> {
        TRY(answers.skip({OP_PUTROOTFH}));
        const nfs_resop4 said = TRY(answers.next(OP_GETFH));
        return handle_of(said.nfs_resop4_u.opgetfh.GETFH4res_u.resok4.object);
      },
      deadline);
  if (!top.ok()) return not_mounted(settings, top.error(), hint_of(top.error()));
  Names4 names(caller, owners, top.value());
  Result<Handle> root = find_path(names, top.value(), settings.path, deadline);
  if (!root.ok()) return not_mounted(settings, root.error(), hint_of(root.error()));
  return root;
}

Result<ServerLimits> ask_limits_4(Caller& caller, const Handle& root, Deadline deadline) {
  return ask_compound(
      caller, Compound().put(root).get_attributes(kLimitsMask), "nfs.getattr",
      [](Answers& answers) -> Result<ServerLimits> {
        TRY(answers.skip({OP_PUTFH}));
        const nfs_resop4 said = TRY(answers.next(OP_GETATTR));
        const Told told =
            TRY(told_of(said.nfs_resop4_u.opgetattr.GETATTR4res_u.resok4.obj_attributes));
        const Timestamp unit = told.unit.value_or(Timestamp{.seconds = 1});
        // More than a day is no unit, and would have no room in nanoseconds.
        const Duration length =
            unit.seconds < 0 || unit.seconds > 86'400
                ? Duration(std::chrono::hours(24))
                : std::chrono::seconds(unit.seconds) + std::chrono::nanoseconds(unit.nanoseconds);
        return limits_of(told.read_bytes.value_or(kTransfer), told.write_bytes.value_or(kTransfer),
                         length);
      },
      deadline);
}

Result<bool> may_read(Caller& caller, const Handle& file, Deadline deadline) {
  return ask_compound(
      caller, Compound().put(file).access(ACCESS4_READ), "nfs.access",
      [](Answers& answers) -> Result<bool> {
        TRY(answers.skip({OP_PUTFH}));
        const nfs_resop4 said = TRY(answers.next(OP_ACCESS));
        const ACCESS4resok& access = said.nfs_resop4_u.opaccess.ACCESS4res_u.resok4;
        // One that cannot tell is told by the first read.
        return ((access.access | ~access.supported) & ACCESS4_READ) != 0;
      },
      deadline);
}

}  // namespace netfs::origins::nfs
