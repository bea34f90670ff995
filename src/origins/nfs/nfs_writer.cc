// NfsWriter: names and attributes.

#include "origins/nfs/nfs_writer.h"

#include <cerrno>
#include <utility>

namespace netfs::origins::nfs {

namespace {

Result<void> nothing_of(nfsstat3 status, const char* context) {
  if (status == NFS3_OK) return {};
  return Error(errno_of(status), context);
}

}  // namespace

Result<void> NfsWriter::remove_file(const Place& place, Deadline deadline, bool& lost) {
  return caller_.ask<REMOVE3res>(
      [place](rpc_context* rpc, rpc_cb answered, void* call) {
        REMOVE3args args{.object = to_wire(place.directory, place.name)};
        return ::rpc_nfs3_remove_async(rpc, answered, &args, call);
      },
      [](const REMOVE3res& answer) { return nothing_of(answer.status, "nfs.remove"); }, deadline,
      &lost);
}

Result<void> NfsWriter::remove_directory(const Place& place, Deadline deadline, bool& lost) {
  return caller_.ask<RMDIR3res>(
      [place](rpc_context* rpc, rpc_cb answered, void* call) {
        RMDIR3args args{.object = to_wire(place.directory, place.name)};
        return ::rpc_nfs3_rmdir_async(rpc, answered, &args, call);
      },
      [](const RMDIR3res& answer) { return nothing_of(answer.status, "nfs.rmdir"); }, deadline,
      &lost);
}

Result<void> NfsWriter::remove(const std::string& path, RemoveKind kind, Deadline deadline) {
  const bool directory = kind == RemoveKind::kDirectory;
  return names_.with_fresh(path, [&]() -> Result<void> {
    const Place place = TRY(names_.place(path, deadline));
    bool lost = false;
    Result<void> removed =
        directory ? remove_directory(place, deadline, lost) : remove_file(place, deadline, lost);
    if (directory) names_.forget(path);
    if (removed.ok() || (lost && removed.is_error(ENOENT))) return {};
    if (removed.is_error(ESTALE) || removed.is_error(ENOENT)) return removed;
    // Servers have several words for the wrong kind, and for what is not empty.
    const Result<Found> there = names_.look_up(place.directory, place.name, deadline);
    if (there.ok()) {
      const bool is_directory = there.value().info.attributes.type == FileType::kDirectory;
      if (directory && !is_directory) return Error(ENOTDIR, "nfs.rmdir");
      if (!directory && is_directory) return Error(EISDIR, "nfs.remove");
      if (directory && removed.is_error(EEXIST)) return Error(ENOTEMPTY, "nfs.rmdir");
    }
    return removed;
  });
}

Result<void> NfsWriter::rename_over(const Place& from, const Place& to, Deadline deadline,
                                    bool& lost) {
  return caller_.ask<RENAME3res>(
      [from, to](rpc_context* rpc, rpc_cb answered, void* call) {
        RENAME3args args{.from = to_wire(from.directory, from.name),
                         .to = to_wire(to.directory, to.name)};
        return ::rpc_nfs3_rename_async(rpc, answered, &args, call);
      },
      [](const RENAME3res& answer) { return nothing_of(answer.status, "nfs.rename"); }, deadline,
      &lost);
}

Result<void> NfsWriter::rename(const std::string& from, const std::string& to, RenameHow how,
                               Deadline deadline) {
  if (how != RenameHow::kReplace && how != RenameHow::kNoReplace) {
    return Error(EINVAL, "nfs.rename");
  }
  const auto act = [&]() -> Result<void> {
    const Place old = TRY(names_.place(from, deadline));
    const Place place = TRY(names_.place(to, deadline));
    // What it is: only so can it be told afterwards whether it has come there.
    const Found source = TRY(names_.look_up(old.directory, old.name, deadline));
    if (how == RenameHow::kNoReplace) {
      return rename_without_replacing(source, old, place, deadline);
    }
    Result<void> renamed = rename_it(source, old, place, deadline);
    // A directory that is not empty is "exists" to some servers.
    return renamed.is_error(EEXIST) ? Error(ENOTEMPTY, "nfs.rename") : std::move(renamed);
  };
  Result<void> renamed = names_.with_fresh(to, [&] { return names_.with_fresh(from, act); });
  names_.forget(from);
  names_.forget(to);
  return renamed;
}

Result<void> NfsWriter::rename_it(const Found& source, const Place& old, const Place& place,
                                  Deadline deadline) {
  bool lost = false;
  Result<void> renamed = rename_over(old, place, deadline, lost);
  if (!renamed.is_error(ENOENT) || !lost) return renamed;
  const Result<Found> there = names_.look_up(place.directory, place.name, deadline);
  if (there.ok() && there.value().info.identity == source.info.identity) return {};
  return Error(ENOTCONN, "nfs.rename", "the answer was lost, and the file is at neither name");
}

Result<void> NfsWriter::rename_without_replacing(const Found& source, const Place& old,
                                                 const Place& place, Deadline deadline) {
  bool lost = false;
  if (source.info.attributes.type != FileType::kDirectory) {
    Result<void> linked = link_to(source.handle, place, deadline, lost);
    if (linked.is_error(EEXIST) && lost) {
      // What is there after an attempt was lost is what that attempt has made, if it is this file.
      const Found there = TRY(names_.look_up(place.directory, place.name, deadline));
      if (there.info.identity == source.info.identity) linked = {};
    }
    if (linked.ok()) {
      bool removing_lost = false;
      Result<void> removed = remove_file(old, deadline, removing_lost);
      if (removed.ok() || removed.is_error(ENOENT)) return {};
      if (!removed.is_error(ENOTCONN) && !removed.is_error(ETIMEDOUT)) {
        (void)remove_file(place, deadline, removing_lost).ok();
      }
      return removed;
    }
    // A file system without hard links; or of a kind that the server does not link.
    if (!linked.is_error(EOPNOTSUPP) && !linked.is_error(EPERM) && !linked.is_error(EMLINK)) {
      return linked;
    }
  }
  const Result<Found> there = names_.look_up(place.directory, place.name, deadline);
  if (there.ok()) return Error(EEXIST, "nfs.rename");
  if (!there.is_error(ENOENT)) return there.error();
  if (source.info.attributes.type != FileType::kDirectory) return Error(EOPNOTSUPP, "nfs.rename");
  return rename_it(source, old, place, deadline);
}

Result<void> NfsWriter::link_to(const Handle& file, const Place& to, Deadline deadline,
                                bool& lost) {
  return caller_.ask<LINK3res>(
      [file, to](rpc_context* rpc, rpc_cb answered, void* call) {
        LINK3args args{.file = to_wire(file), .link = to_wire(to.directory, to.name)};
        return ::rpc_nfs3_link_async(rpc, answered, &args, call);
      },
      [](const LINK3res& answer) { return nothing_of(answer.status, "nfs.link"); }, deadline,
      &lost);
}

Result<NodeInfo> NfsWriter::link(const FileAt& from, const std::string& to, Deadline deadline) {
  return names_.with_fresh(to, [&]() -> Result<NodeInfo> {
    const Handle file = from.open != nullptr ? static_cast<NfsFile&>(*from.open).handle()
                                             : TRY(names_.find(from.path, deadline)).handle;
    const Place place = TRY(names_.place(to, deadline));
    bool lost = false;
    Result<void> linked = link_to(file, place, deadline, lost);
    if (linked.is_error(EEXIST) && lost) {
      const Found there = TRY(names_.look_up(place.directory, place.name, deadline));
      const NodeInfo is = TRY(names_.get_attributes(file, deadline));
      if (there.info.identity == is.identity) return there.info;
    }
    TRY(std::move(linked));
    return names_.get_attributes(file, deadline);
  });
}

Result<Seen> NfsWriter::set(const Handle& handle, uint64_t fileid, const AttributeChange& change,
                            Deadline deadline) {
  struct Setting {
    int code = 0;
    Seen seen;
  };
  Setting setting = TRY(caller_.ask<SETATTR3res>(
      [handle, change](rpc_context* rpc, rpc_cb answered, void* call) {
        SETATTR3args args{};
        args.object = to_wire(handle);
        args.new_attributes = to_wire(change);
        return ::rpc_nfs3_setattr_async(rpc, answered, &args, call);
      },
      [fileid](const SETATTR3res& answer) -> Result<Setting> {
        if (answer.status != NFS3_OK) return Error(errno_of(answer.status), "nfs.setattr");
        return Setting{0, seen_of(answer.SETATTR3res_u.resok.obj_wcc, fileid)};
      },
      deadline));
  if (change.size_bytes) unstable_.truncated(handle, *change.size_bytes);
  if (!setting.seen.after) setting.seen.after = TRY(names_.get_attributes(handle, deadline));
  return std::move(setting.seen);
}

Result<Seen> NfsWriter::set_attributes(const FileAt& file, const AttributeChange& change,
                                       Deadline deadline) {
  if (file.open != nullptr) {
    const auto& open = static_cast<NfsFile&>(*file.open);
    return set(open.handle(), open.fileid(), change, deadline);
  }
  return names_.with_fresh(file.path, [&]() -> Result<Seen> {
    const Found found = TRY(names_.find(file.path, deadline));
    if (found.info.attributes.type == FileType::kSymlink && change.permissions) {
      return Error(EOPNOTSUPP, "nfs.setattr");
    }
    return set(found.handle, fileid_of(found.info), change, deadline);
  });
}

}  // namespace netfs::origins::nfs
