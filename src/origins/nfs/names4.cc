#include "origins/nfs/names4.h"

#include <cerrno>

namespace netfs::origins::nfs {

namespace {

struct Pointed {
  Handle handle;
  Shown shown;
};

Result<Shown> shown_in(Answers& answers) {
  const nfs_resop4 said = TRY(answers.next(OP_GETATTR));
  return shown_of(said.nfs_resop4_u.opgetattr.GETATTR4res_u.resok4.obj_attributes);
}

}  // namespace

Handle handle_of(const nfs_fh4& handle) {
  return Handle(handle.nfs_fh4_val, handle.nfs_fh4_len);
}

Result<NodeInfo> Names4::get_attributes(const Handle& handle, Deadline deadline) {
  Result<Shown> shown = ask_compound(
      caller_, Compound().put(handle).get_attributes(kFileMask), "nfs.getattr",
      [](Answers& answers) -> Result<Shown> {
        TRY(answers.skip({OP_PUTFH}));
        return shown_in(answers);
      },
      deadline);
  return owners_.info_of(TRY(std::move(shown)));
}

Result<Found> Names4::look_up(const Handle& directory, const std::string& name, Deadline deadline) {
  const bool up = name == "..";
  Compound asked;
  asked.put(directory);
  if (up) {
    asked.look_up_parent();
  } else {
    asked.look_up(name);
  }
  asked.get_handle().get_attributes(kFileMask);
  Result<Pointed> answer = ask_compound(
      caller_, asked, "nfs.lookup",
      [up](Answers& answers) -> Result<Pointed> {
        TRY(answers.skip({OP_PUTFH, up ? OP_LOOKUPP : OP_LOOKUP}));
        const nfs_resop4 said = TRY(answers.next(OP_GETFH));
        return Pointed{handle_of(said.nfs_resop4_u.opgetfh.GETFH4res_u.resok4.object),
                       TRY(shown_in(answers))};
      },
      deadline);
  Pointed found = TRY(std::move(answer));
  return Found{std::move(found.handle), owners_.info_of(std::move(found.shown))};
}

Result<std::string> Names4::read_link(const Handle& link, Deadline deadline) {
  return ask_compound(
      caller_, Compound().put(link).read_link(), "nfs.readlink",
      [](Answers& answers) -> Result<std::string> {
        TRY(answers.skip({OP_PUTFH}));
        const nfs_resop4 said = TRY(answers.next(OP_READLINK));
        const linktext4& text = said.nfs_resop4_u.opreadlink.READLINK4res_u.resok4.link;
        std::string target(text.utf8string_val, text.utf8string_len);
        if (target.find('\0') != std::string::npos) return Error(EIO, "nfs.readlink");
        return target;
      },
      deadline);
}

}  // namespace netfs::origins::nfs
