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

// What a look says when an earlier attempt proves to have been carried out.
constexpr int kDone = EALREADY;

// After an answer was lost: whatever else went wrong, the change may have been made.
Error in_doubt(const Error& error) {
  return error.code() == ETIMEDOUT ? error : Error(ENOTCONN, error.context(), error.detail());
}

bool is_in_doubt(const Result<void>& changed) {
  return changed.is_error(ENOTCONN) || changed.is_error(ETIMEDOUT);
}

}  // namespace

Result<void> NfsWriter::ask_remove(const Place& place, RemoveKind kind, Deadline deadline,
                                   const Asking& asking) {
  if (kind == RemoveKind::kDirectory) {
    return caller_.ask<RMDIR3res>(
        [place](rpc_context* rpc, rpc_cb answered, void* call) {
          RMDIR3args args{.object = to_wire(place.directory, place.name)};
          return ::rpc_nfs3_rmdir_async(rpc, answered, &args, call);
        },
        [](const RMDIR3res& answer) { return nothing_of(answer.status, "nfs.rmdir"); }, deadline,
        asking);
  }
  return caller_.ask<REMOVE3res>(
      [place](rpc_context* rpc, rpc_cb answered, void* call) {
        REMOVE3args args{.object = to_wire(place.directory, place.name)};
        return ::rpc_nfs3_remove_async(rpc, answered, &args, call);
      },
      [](const REMOVE3res& answer) { return nothing_of(answer.status, "nfs.remove"); }, deadline,
      asking);
}

Result<void> NfsWriter::remove_known(const Place& place, RemoveKind kind,
                                     const std::optional<Handle>& known, Deadline deadline) {
  bool lost = false;
  const auto look = [&]() -> Result<void> {
    const Result<Found> there = names_.look_up(place.directory, place.name, deadline);
    if (there.ok() && known && there.value().handle == *known) return {};
    if (there.is_error(ENOENT)) return Error(kDone, "nfs.remove");
    if (!there.ok()) return in_doubt(there.error());
    return Error(ENOTCONN, "nfs.remove", "the answer was lost, and something has this name");
  };
  const Result<void> removed = ask_remove(
      place, kind, deadline, {.kind = Connection::Kind::kOrdered, .lost = &lost, .look = look});
  if (removed.is_error(kDone) || (lost && removed.is_error(ENOENT))) return {};
  return removed;
}

// Where something is held, it may be of what has this name.
std::optional<Found> NfsWriter::holder_at(const Place& place, Deadline deadline) {
  if (unstable_.held_bytes() == 0) return std::nullopt;
  Result<Found> there = names_.look_up(place.directory, place.name, deadline);
  if (!there.ok() || unstable_.held_bytes(there.value().handle) == 0) return std::nullopt;
  return std::move(there).value();
}

// Of a file that went with its name nothing needs to be held.
void NfsWriter::lost_name(const std::optional<Found>& file, Deadline deadline) {
  if (!file) return;
  const Result<NodeInfo> is = names_.get_attributes(file->handle, deadline);
  const bool gone = is.is_error(ESTALE) || (is.ok() && is.value().attributes.link_count == 0);
  if (gone) unstable_.forget(file->handle);
}

Result<void> NfsWriter::remove(const std::string& path, RemoveKind kind, Deadline deadline) {
  const bool directory = kind == RemoveKind::kDirectory;
  return names_.with_fresh(path, [&]() -> Result<void> {
    const Place place = TRY(names_.place(path, deadline));
    const std::optional<Found> holder = directory ? std::nullopt : holder_at(place, deadline);
    const std::optional<Handle> known =
        holder ? std::optional<Handle>(holder->handle) : names_.seen(path);
    Result<void> removed = remove_known(place, kind, known, deadline);
    if (directory) names_.forget(path);
    names_.unsee(path);
    if (removed.ok()) lost_name(holder, deadline);
    if (removed.ok() || removed.is_error(ESTALE) || removed.is_error(ENOENT) ||
        is_in_doubt(removed)) {
      return removed;
    }
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

Result<void> NfsWriter::ask_rename(const Place& from, const Place& to, Deadline deadline,
                                   const Asking& asking) {
  return caller_.ask<RENAME3res>(
      [from, to](rpc_context* rpc, rpc_cb answered, void* call) {
        RENAME3args args{.from = to_wire(from.directory, from.name),
                         .to = to_wire(to.directory, to.name)};
        return ::rpc_nfs3_rename_async(rpc, answered, &args, call);
      },
      [](const RENAME3res& answer) { return nothing_of(answer.status, "nfs.rename"); }, deadline,
      asking);
}

Result<void> NfsWriter::rename(const std::string& from, const std::string& to, RenameHow how,
                               Deadline deadline) {
  if (how != RenameHow::kReplace && how != RenameHow::kNoReplace) {
    return Error(EINVAL, "nfs.rename");
  }
  bool moves_directory = false;
  const auto forget = [&] {
    if (!moves_directory) return;
    names_.forget(from);
    names_.forget(to);
  };
  const auto act = [&]() -> Result<void> {
    const Place old = TRY(names_.place(from, deadline));
    const Place place = TRY(names_.place(to, deadline));
    // What it is: only so can it be told afterwards whether it has come there.
    const Found source = TRY(names_.look_up(old.directory, old.name, deadline));
    moves_directory = source.info.attributes.type == FileType::kDirectory;
    forget();
    if (how == RenameHow::kNoReplace) {
      return rename_without_replacing(source, old, place, deadline);
    }
    const std::optional<Found> replaced = holder_at(place, deadline);
    Result<void> renamed = rename_it(source, old, place, deadline);
    if (renamed.ok()) lost_name(replaced, deadline);
    // A directory that is not empty is "exists" to some servers.
    return renamed.is_error(EEXIST) ? Error(ENOTEMPTY, "nfs.rename") : std::move(renamed);
  };
  Result<void> renamed = names_.with_fresh(to, [&] { return names_.with_fresh(from, act); });
  forget();
  names_.unsee(from);
  names_.unsee(to);
  return renamed;
}

Result<void> NfsWriter::rename_it(const Found& source, const Place& old, const Place& place,
                                  Deadline deadline) {
  bool lost = false;
  const auto is_at = [&](const Place& at) -> Result<bool> {
    const Result<Found> there = names_.look_up(at.directory, at.name, deadline);
    if (there.is_error(ENOENT)) return false;
    if (!there.ok()) return in_doubt(there.error());
    return there.value().info.identity == source.info.identity;
  };
  const auto look = [&]() -> Result<void> {
    if (TRY(is_at(old))) return {};
    if (TRY(is_at(place))) return Error(kDone, "nfs.rename");
    return Error(ENOTCONN, "nfs.rename", "the answer was lost, and the file is at neither name");
  };
  Result<void> renamed = ask_rename(
      old, place, deadline, {.kind = Connection::Kind::kOrdered, .lost = &lost, .look = look});
  // It may have been carried out behind the look.
  if (renamed.is_error(ENOENT) && lost) {
    if (Result<void> looked = look(); !looked.ok()) renamed = std::move(looked);
  }
  return renamed.is_error(kDone) ? Result<void>() : std::move(renamed);
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
      Result<void> removed = remove_known(old, RemoveKind::kFile, source.handle, deadline);
      if (removed.ok() || removed.is_error(ENOENT)) return {};
      if (!is_in_doubt(removed)) {
        (void)remove_known(place, RemoveKind::kFile, source.handle, deadline).ok();
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
      {.kind = Connection::Kind::kOrdered, .lost = &lost});
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
  Result<Setting> asked = caller_.ask<SETATTR3res>(
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
      deadline, {.kind = Connection::Kind::kOrdered});
  // Where nobody knows whether the file ends there now, what lies behind is not to come back.
  const bool may_be = asked.ok() || asked.is_error(ENOTCONN) || asked.is_error(ETIMEDOUT);
  if (change.size_bytes && may_be) unstable_.truncated(handle, *change.size_bytes);
  Setting setting = TRY(std::move(asked));
  if (!setting.seen.after) setting.seen.after = TRY(names_.get_attributes(handle, deadline));
  if (change.mtime && !change.mtime->now) {
    unstable_.time_set(handle, setting.seen.after->attributes.mtime);
  } else if (change.mtime || change.size_bytes) {
    unstable_.time_set(handle, std::nullopt);
  }
  return std::move(setting.seen);
}

// While nothing of the file is written, or written again.  What it would cut off is made durable
// first: if the answer is lost, nobody knows whether it would have to be written again.
Result<Seen> NfsWriter::resize(const Handle& handle, uint64_t fileid, const AttributeChange& change,
                               Deadline deadline) {
  const Alone alone(*this, handle, deadline);
  TRY(alone.begun());
  if (unstable_.holds_beyond(handle, *change.size_bytes)) {
    const Result<void> kept = commit_alone(handle, deadline);
    // What the server will not take is cut off all the same.
    if (is_in_doubt(kept) || kept.is_error(ESTALE)) return kept.error();
  }
  return set(handle, fileid, change, deadline);
}

Result<Seen> NfsWriter::set_attributes(const FileAt& file, const AttributeChange& change,
                                       Deadline deadline) {
  if (file.open != nullptr) {
    const auto& open = static_cast<NfsFile&>(*file.open);
    return change.size_bytes ? resize(open.handle(), open.fileid(), change, deadline)
                             : set(open.handle(), open.fileid(), change, deadline);
  }
  return names_.with_fresh(file.path, [&]() -> Result<Seen> {
    const Found found = TRY(names_.find(file.path, deadline));
    if (found.info.attributes.type == FileType::kSymlink && change.permissions) {
      return Error(EOPNOTSUPP, "nfs.setattr");
    }
    const uint64_t fileid = fileid_of(found.info);
    return change.size_bytes ? resize(found.handle, fileid, change, deadline)
                             : set(found.handle, fileid, change, deadline);
  });
}

}  // namespace netfs::origins::nfs
