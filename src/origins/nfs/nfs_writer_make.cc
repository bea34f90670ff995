// NfsWriter: what is made, and files that are opened for writing.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <sys/sysmacros.h>
#include <utility>

#include "origins/nfs/nfs_writer.h"

namespace netfs::origins::nfs {

namespace {

// With permissions: no umask is applied any more, and the server has none of its own.
sattr3 attributes_of(const NewNode& what) {
  AttributeChange change;
  change.permissions = what.permissions;
  return to_wire(change);
}

// Servers keep it in the times of the file: nothing of this machine is to be seen there.
Verifier random_verifier() {
  std::random_device random;
  const std::array<uint32_t, 2> words = {random(), random()};
  Verifier verifier;
  static_assert(sizeof verifier == sizeof words);
  std::memcpy(verifier.data(), words.data(), sizeof verifier);
  return verifier;
}

// That the server does not keep what is asked for, or not for everybody.
bool is_its_own_way(const Result<Seen>& set) {
  return set.is_error(EPERM) || set.is_error(EACCES) || set.is_error(EOPNOTSUPP) ||
         set.is_error(EINVAL);
}

}  // namespace

template <class Answer, class Resok>
Result<NfsWriter::Made> NfsWriter::made_of(nfsstat3 status, const Resok& made) {
  if (status != NFS3_OK) return Error(errno_of(status), "nfs.make");
  Made result;
  if (made.obj.handle_follows != 0) result.handle = handle_of(made.obj.post_op_fh3_u.handle);
  result.info = info_of(made.obj_attributes);
  result.directory = info_of(made.dir_wcc.after);
  return result;
}

// Exclusive: the server keeps the verifier, and tells a repeated request from another client's.
Result<NfsWriter::Made> NfsWriter::make_file(const Place& place, const NewNode& what,
                                             const std::optional<Verifier>& verifier,
                                             Deadline deadline, bool& lost) {
  return caller_.ask<CREATE3res>(
      [place, what, verifier](rpc_context* rpc, rpc_cb answered, void* call) {
        CREATE3args args{};
        args.where = to_wire(place.directory, place.name);
        args.how.mode = verifier ? EXCLUSIVE : GUARDED;
        if (verifier) {
          std::copy(verifier->begin(), verifier->end(), args.how.createhow3_u.verf);
        } else {
          args.how.createhow3_u.g_obj_attributes = attributes_of(what);
        }
        return ::rpc_nfs3_create_async(rpc, answered, &args, call);
      },
      [](const CREATE3res& answer) {
        return made_of<CREATE3res>(answer.status, answer.CREATE3res_u.resok);
      },
      deadline, {.kind = Connection::Kind::kOrdered, .lost = &lost});
}

Result<NfsWriter::Made> NfsWriter::make_directory(const Place& place, const NewNode& what,
                                                  Deadline deadline, bool& lost) {
  return caller_.ask<MKDIR3res>(
      [place, what](rpc_context* rpc, rpc_cb answered, void* call) {
        MKDIR3args args{};
        args.where = to_wire(place.directory, place.name);
        args.attributes = attributes_of(what);
        return ::rpc_nfs3_mkdir_async(rpc, answered, &args, call);
      },
      [](const MKDIR3res& answer) {
        return made_of<MKDIR3res>(answer.status, answer.MKDIR3res_u.resok);
      },
      deadline, {.kind = Connection::Kind::kOrdered, .lost = &lost});
}

Result<NfsWriter::Made> NfsWriter::make_link(const Place& place, const NewNode& what,
                                             Deadline deadline, bool& lost) {
  return caller_.ask<SYMLINK3res>(
      [place, what](rpc_context* rpc, rpc_cb answered, void* call) {
        SYMLINK3args args{};
        args.where = to_wire(place.directory, place.name);
        args.symlink.symlink_data = const_cast<char*>(what.target.c_str());
        return ::rpc_nfs3_symlink_async(rpc, answered, &args, call);
      },
      [](const SYMLINK3res& answer) {
        return made_of<SYMLINK3res>(answer.status, answer.SYMLINK3res_u.resok);
      },
      deadline, {.kind = Connection::Kind::kOrdered, .lost = &lost});
}

Result<NfsWriter::Made> NfsWriter::make_special(const Place& place, const NewNode& what,
                                                Deadline deadline, bool& lost) {
  return caller_.ask<MKNOD3res>(
      [place, what](rpc_context* rpc, rpc_cb answered, void* call) {
        MKNOD3args args{};
        args.where = to_wire(place.directory, place.name);
        if (what.type == FileType::kFifo || what.type == FileType::kSocket) {
          args.what.type = what.type == FileType::kFifo ? NF3FIFO : NF3SOCK;
          args.what.mknoddata3_u.pipe_attributes = attributes_of(what);
        } else {
          args.what.type = what.type == FileType::kCharDevice ? NF3CHR : NF3BLK;
          devicedata3& device = args.what.mknoddata3_u.chr_device;
          device.dev_attributes = attributes_of(what);
          device.spec = {.specdata1 = gnu_dev_major(what.device),
                         .specdata2 = gnu_dev_minor(what.device)};
        }
        return ::rpc_nfs3_mknod_async(rpc, answered, &args, call);
      },
      [](const MKNOD3res& answer) {
        return made_of<MKNOD3res>(answer.status, answer.MKNOD3res_u.resok);
      },
      deadline, {.kind = Connection::Kind::kOrdered, .lost = &lost});
}

Result<NfsWriter::NewFound> NfsWriter::make_any(const std::string& path, const NewNode& what,
                                                Deadline deadline) {
  const Verifier verifier = random_verifier();
  return names_.with_fresh(path, [&]() -> Result<NewFound> {
    Place place = TRY(names_.place(path, deadline));
    bool lost = false;
    bool exclusive = false;
    const auto make = [&]() -> Result<Made> {
      switch (what.type) {
        case FileType::kRegular: {
          exclusive = true;
          Result<Made> file = make_file(place, what, verifier, deadline, lost);
          if (!file.is_error(EOPNOTSUPP)) return file;
          exclusive = false;
          return make_file(place, what, std::nullopt, deadline, lost);
        }
        case FileType::kDirectory:
          return make_directory(place, what, deadline, lost);
        case FileType::kSymlink:
          return make_link(place, what, deadline, lost);
        case FileType::kUnknown:
          return Error(EINVAL, "nfs.make");
        default:
          return make_special(place, what, deadline, lost);
      }
    };
    Result<Made> made = make();
    if (made.is_error(EEXIST) && lost && !exclusive) {
      // The attempt that was lost may have made it, or somebody else has: that cannot be told.
      return Error(ENOTCONN, "nfs.make", "the answer was lost, and something has this name now");
    }
    Made result = TRY(std::move(made));
    Found found{std::move(result.handle), result.info.value_or(NodeInfo())};
    if (found.handle.empty() || !result.info) {
      found = TRY(names_.look_up(place.directory, place.name, deadline));
    }
    names_.saw(path, found.handle);
    return NewFound{std::move(found), std::move(result.directory), std::move(place), exclusive};
  });
}

// Owner and permissions as they were asked for: the server has its own way with them, and giving a
// file away may take set-ID bits.  What a server does not keep is no error.
Result<NodeInfo> NfsWriter::set_new(const NewFound& made, const NewNode& what, Deadline deadline) {
  NodeInfo info = made.found.info;
  const uint64_t fileid = fileid_of(info);
  const auto set_some = [&](const AttributeChange& change) -> Result<void> {
    Result<Seen> seen = set(made.found.handle, fileid, change, deadline);
    if (is_its_own_way(seen) && change.permissions && change.mtime) {
      // Not the mode, then; the times are its own only if they are not set.
      seen =
          set(made.found.handle, fileid, {.atime = change.atime, .mtime = change.mtime}, deadline);
    }
    if (is_its_own_way(seen)) return {};
    info = *TRY(std::move(seen)).after;
    return {};
  };
  const Attributes& is = info.attributes;
  if (what.owner && (is.uid != what.owner->uid || is.gid != what.owner->gid)) {
    AttributeChange owner;
    owner.uid = what.owner->uid;
    owner.gid = what.owner->gid;
    TRY(set_some(owner));
  }
  const uint32_t wanted =
      what.permissions | (what.type == FileType::kDirectory ? is.permissions & 02000 : 0);
  if (made.exclusive || (what.type != FileType::kSymlink && is.permissions != wanted)) {
    AttributeChange change;
    change.permissions = wanted;
    // Where the server kept the verifier.
    if (made.exclusive) change.atime = change.mtime = NewTime{.now = true};
    TRY(set_some(change));
  }
  return info;
}

// What cannot be finished is not left there.
Result<NodeInfo> NfsWriter::finish_new(const NewFound& made, const NewNode& what,
                                       Deadline deadline) {
  Result<NodeInfo> finished = set_new(made, what, deadline);
  if (!finished.ok() && !finished.is_error(ETIMEDOUT) && !finished.is_error(ENOTCONN)) {
    const RemoveKind kind =
        what.type == FileType::kDirectory ? RemoveKind::kDirectory : RemoveKind::kFile;
    const Result<void> removed = remove_known(made.place, kind, made.found.handle, deadline);
    if (!removed.ok()) return Error(ENOTCONN, "nfs.make", finished.error().message());
  }
  return finished;
}

Result<NodeInfo> NfsWriter::make(const std::string& path, const NewNode& what, Deadline deadline) {
  return finish_new(TRY(make_any(path, what, deadline)), what, deadline);
}

Result<OpenedFile> NfsWriter::create(const std::string& path, const NewNode& what,
                                     Deadline deadline) {
  NewFound made = TRY(make_any(path, what, deadline));
  OpenedFile opened{.readable = true};
  opened.info = TRY(finish_new(made, what, deadline));
  opened.file = std::make_unique<NfsFile>(made.found.handle, fileid_of(made.found.info), this);
  if (what.with_directory) opened.directory = std::move(made.directory);
  return opened;
}

Result<OpenedFile> NfsWriter::open_for_writing(const std::string& path, Deadline deadline) {
  const Found found = TRY(names_.find(path, deadline));
  const FileType type = found.info.attributes.type;
  if (type == FileType::kDirectory) return Error(EISDIR, "nfs.open");
  if (type == FileType::kSymlink) return Error(ELOOP, "nfs.open");
  if (type != FileType::kRegular) return Error(EINVAL, "nfs.open");
  const uint32_t allowed = TRY(
      ask_access(caller_, found.handle, ACCESS3_READ | ACCESS3_MODIFY | ACCESS3_EXTEND, deadline));
  if ((allowed & ACCESS3_MODIFY) == 0) return Error(EACCES, "nfs.open");
  OpenedFile opened{.readable = (allowed & ACCESS3_READ) != 0};
  opened.info = found.info;
  opened.file = std::make_unique<NfsFile>(found.handle, fileid_of(found.info), this);
  return opened;
}

}  // namespace netfs::origins::nfs
