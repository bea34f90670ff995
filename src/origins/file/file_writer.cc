// Names and attributes; what concerns the bytes of files is in file_write_data.cc.

#include "origins/file/file_writer.h"

#include <cerrno>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "netfs/file_mode.h"
#include "origins/file/file_place.h"
#include "origins/file/local_file.h"

namespace netfs::origins {

namespace {

// Whether the file system below keeps ACLs.
bool has_acls(int root) {
  const std::string path = "/proc/self/fd/" + std::to_string(root);
  return ::getxattr(path.c_str(), "system.posix_acl_access", nullptr, 0) >= 0 || errno == ENODATA;
}

// How a new node gets its permissions.
enum class Inheriting : uint8_t {
  kNothing,     // it gets what was asked for
  kDefaultAcl,  // the directory has one, and the file system applies it
};

Inheriting inheriting_in(int directory, const NewNode& what) {
  if (!what.unmasked || what.type == FileType::kSymlink) return Inheriting::kNothing;
  const std::string path = "/proc/self/fd/" + std::to_string(directory);
  const ssize_t bytes = ::getxattr(path.c_str(), "system.posix_acl_default", nullptr, 0);
  return bytes > 0 ? Inheriting::kDefaultAcl : Inheriting::kNothing;
}

// With which mode it is made.  Nobody else may look in before the owner is right.
uint32_t first_mode(const NewNode& what, Inheriting inheriting) {
  if (inheriting == Inheriting::kDefaultAcl) return *what.unmasked & 0777;
  return what.owner ? what.permissions & 0700 : what.permissions & 0777;
}

// A new node that has no handle, held by one that follows no link: somebody may have put another in
// its place.
Result<UniqueFd> hold_new(const Place& place, const NewNode& what) {
  UniqueFd fd(::openat(place.directory.get(), place.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return Error::from_errno("file.make");
  const NodeInfo info = TRY(stat_fd(fd.get(), ""));
  if (info.attributes.type != what.type) {
    return Error(ESTALE, "file.make", "it was replaced as soon as it was made");
  }
  return fd;
}

// Whether a directory has no names in it; nobody knows it of one that may not be listed.
bool is_empty_directory(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  DIR* names = ::opendir(path.c_str());
  if (names == nullptr) return false;
  size_t count = 0;
  errno = 0;
  while (::readdir(names) != nullptr) ++count;
  const bool read = errno == 0;
  ::closedir(names);
  return read && count <= 2;  // "." and ".."
}

// What a new node got by itself is brought to what was asked.  Giving it away clears set-ID bits,
// so permissions come last.  Owners that we may not give stay ours.
Result<NodeInfo> finish_new(int fd, const NewNode& what, Inheriting inheriting) {
  NodeInfo info = TRY(stat_fd(fd, ""));
  bool changed = false;
  // Nothing but our own is given away.
  const bool ours = info.attributes.uid == ::geteuid();
  const bool other_owner =
      ours && what.owner &&
      (what.owner->uid != info.attributes.uid || what.owner->gid != info.attributes.gid);
  if (other_owner) {
    const int given =
        ::fchownat(fd, "", what.owner->uid, what.owner->gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
    if (given != 0 && errno != EPERM && errno != EINVAL) return Error::from_errno("file.chown");
    changed = given == 0;
  }
  const bool is_link = what.type == FileType::kSymlink;
  if (changed) info = TRY(stat_fd(fd, ""));
  // The bit that a directory took from its parent stays.
  const uint32_t inherited =
      what.type == FileType::kDirectory ? info.attributes.permissions & S_ISGID : 0;
  uint32_t wanted = what.permissions | inherited;
  if (inheriting == Inheriting::kDefaultAcl) {
    wanted = (info.attributes.permissions & 0777) | (what.permissions & 07000) | inherited;
  }
  if (!is_link && info.attributes.permissions != wanted) {
    // By its path in /proc: fchmod() does not take a handle without access.
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    if (::chmod(path.c_str(), wanted) != 0) return Error::from_errno("file.chmod");
    info = TRY(stat_fd(fd, ""));
  }
  return info;
}

int make_named(const Place& place, const NewNode& what, uint32_t mode) {
  const int at = place.directory.get();
  const char* name = place.name.c_str();
  switch (what.type) {
    case FileType::kDirectory:
      return ::mkdirat(at, name, mode);
    case FileType::kSymlink:
      return ::symlinkat(what.target.c_str(), at, name);
    default:
      return ::mknodat(at, name, type_bits_of(what.type) | mode, what.device);
  }
}

unsigned flags_of(RenameHow how) {
  switch (how) {
    case RenameHow::kReplace:
      return 0;
    case RenameHow::kNoReplace:
      return RENAME_NOREPLACE;
    case RenameHow::kExchange:
      return RENAME_EXCHANGE;
    case RenameHow::kReplaceWithWhiteout:
      return RENAME_WHITEOUT;
    case RenameHow::kNoReplaceWithWhiteout:
      return RENAME_WHITEOUT | RENAME_NOREPLACE;
  }
  return 0;
}

timespec spec_of(const std::optional<NewTime>& time) {
  if (!time) return {0, UTIME_OMIT};
  if (time->now) return {0, UTIME_NOW};
  return {time->time.seconds, static_cast<long>(time->time.nanoseconds)};
}

// A descriptor that only names a file takes chmod and truncate by its path in /proc alone.
Result<void> set_all(const Held& held, FileType type, const AttributeChange& change) {
  const std::string path = held.path();
  if (change.size_bytes) {
    const auto size = static_cast<off_t>(*change.size_bytes);
    if (size < 0) return Error(EFBIG, "file.truncate");
    const int set = held.by_path() ? ::truncate(path.c_str(), size) : ::ftruncate(held.fd(), size);
    if (set != 0) return Error::from_errno("file.truncate");
  }
  if (change.uid || change.gid) {
    const uid_t uid = change.uid.value_or(static_cast<uid_t>(-1));
    const gid_t gid = change.gid.value_or(static_cast<gid_t>(-1));
    if (::fchownat(held.fd(), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) {
      return Error::from_errno("file.chown");
    }
  }
  if (change.permissions) {
    if (type == FileType::kSymlink) return Error(EOPNOTSUPP, "file.chmod");
    if (::chmod(path.c_str(), *change.permissions & 07777) != 0) {
      return Error::from_errno("file.chmod");
    }
  }
  if (change.atime || change.mtime) {
    const timespec times[2] = {spec_of(change.atime), spec_of(change.mtime)};
    if (::utimensat(AT_FDCWD, path.c_str(), times, 0) != 0) {
      return Error::from_errno("file.utimes");
    }
  }
  return {};
}

}  // namespace

FileWriter::FileWriter(int root, sync::WorkQueue& workers)
    : root_(root),
      workers_(workers),
      capabilities_{.files_outlive_names = true,
                    .validator_can_be_set = false,
                    .extended_attributes = true,
                    .posix_acls = has_acls(root),
                    .tells_holes = true,
                    .copies = true,
                    .nameless_files = true} {}

Result<NodeInfo> FileWriter::make(const std::string& path, const NewNode& what, Deadline) {
  const Place place = TRY(find_place(root_, path));
  const Inheriting inheriting = inheriting_in(place.directory.get(), what);
  if (make_named(place, what, first_mode(what, inheriting)) != 0) {
    return Error::from_errno("file.make");
  }
  const UniqueFd made = TRY(hold_new(place, what));
  return finish_new(made.get(), what, inheriting);
}

Result<OpenedFile> FileWriter::create(const std::string& path, const NewNode& what, Deadline) {
  const Place place = TRY(find_place(root_, path));
  const Inheriting inheriting = inheriting_in(place.directory.get(), what);
  UniqueFd fd(::openat(place.directory.get(), place.name.c_str(),
                       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                       first_mode(what, inheriting)));
  if (!fd) return Error::from_errno("file.create");
  OpenedFile opened;
  opened.info = TRY(finish_new(fd.get(), what, inheriting));
  opened.readable = true;
  opened.file = std::make_unique<LocalFile>(std::move(fd));
  return opened;
}

// Nobody but its owner may look into what is not finished: that tells it.  What is not the caller's
// own is left as it is, for it may be somebody else's, and so is what has another name or is not
// empty.  Where the directory says who may look into what is new in it nothing is lacked.
Result<NodeInfo> FileWriter::finish(const std::string& path, const NewNode& what, Deadline) {
  const Place place = TRY(find_place(root_, path));
  const Inheriting inheriting = inheriting_in(place.directory.get(), what);
  const UniqueFd made = TRY(hold_new(place, what));
  const Attributes is = TRY(stat_fd(made.get(), "")).attributes;
  const bool own = what.owner && is.uid == what.owner->uid && is.gid == what.owner->gid;
  const bool closed = (is.permissions & 0777) == first_mode(what, Inheriting::kNothing);
  const bool is_directory = what.type == FileType::kDirectory;
  const bool alone = is_directory || is.link_count == 1;
  bool empty = what.type != FileType::kRegular || is.size_bytes == 0;
  if (is_directory && own && closed) empty = is_empty_directory(made.get());
  const bool lacks_it = inheriting == Inheriting::kNothing && what.type != FileType::kSymlink;
  if (!own || !closed || !alone || !empty || !lacks_it) return Error(ESTALE, "file.finish");
  return finish_new(made.get(), what, inheriting);
}

Result<OpenedFile> FileWriter::create_nameless(const std::string& directory, const NewNode& what,
                                               Deadline) {
  Place place;
  place.directory = TRY(open_beneath(root_, directory, O_RDONLY | O_DIRECTORY));
  const Inheriting inheriting = inheriting_in(place.directory.get(), what);
  UniqueFd fd(::openat(place.directory.get(), ".", O_RDWR | O_TMPFILE | O_CLOEXEC,
                       first_mode(what, inheriting)));
  if (!fd) return Error::from_errno("file.create_nameless");
  OpenedFile opened;
  opened.info = TRY(finish_new(fd.get(), what, inheriting));
  opened.readable = true;
  opened.file = std::make_unique<LocalFile>(std::move(fd));
  return opened;
}

Result<OpenedFile> FileWriter::take_over(UniqueFd descriptor, Deadline) {
  OpenedFile opened;
  opened.info = TRY(stat_fd(descriptor.get(), ""));
  const int flags = ::fcntl(descriptor.get(), F_GETFL);
  opened.readable = flags >= 0 && (flags & O_ACCMODE) != O_WRONLY;
  opened.file = std::make_unique<LocalFile>(std::move(descriptor));
  return opened;
}

Result<OpenedFile> FileWriter::open_for_writing(const std::string& path, Deadline) {
  OpenedFile opened;
  // O_NONBLOCK: a FIFO in the file's place must not make us wait.
  Result<UniqueFd> fd = open_beneath(root_, path, O_RDWR | O_NONBLOCK | O_NOFOLLOW);
  opened.readable = fd.ok();
  if (fd.is_error(EACCES)) fd = open_beneath(root_, path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
  if (!fd.ok()) return std::move(fd).error();
  opened.info = TRY(stat_fd(fd.value().get(), ""));
  const FileType type = opened.info.attributes.type;
  if (type != FileType::kRegular) {
    return Error(type == FileType::kDirectory ? EISDIR : EINVAL, "file.open");
  }
  opened.file = std::make_unique<LocalFile>(std::move(fd).value());
  return opened;
}

Result<void> FileWriter::remove(const std::string& path, RemoveKind kind, Deadline) {
  const Place place = TRY(find_place(root_, path));
  const int flags = kind == RemoveKind::kDirectory ? AT_REMOVEDIR : 0;
  if (::unlinkat(place.directory.get(), place.name.c_str(), flags) != 0) {
    return Error::from_errno("file.remove");
  }
  return {};
}

Result<void> FileWriter::rename(const std::string& from, const std::string& to, RenameHow how,
                                Deadline) {
  const Place source = TRY(find_place(root_, from));
  const Place target = TRY(find_place(root_, to));
  if (::renameat2(source.directory.get(), source.name.c_str(), target.directory.get(),
                  target.name.c_str(), flags_of(how)) != 0) {
    return Error::from_errno("file.rename");
  }
  return {};
}

Result<NodeInfo> FileWriter::link(const FileAt& from, const std::string& to, Deadline) {
  const Place target = TRY(find_place(root_, to));
  const char* name = target.name.c_str();
  int linked = -1;
  if (from.open != nullptr) {
    const Held held = TRY(Held::find(root_, from));
    // By its path in /proc, which needs no capability.
    linked =
        ::linkat(AT_FDCWD, held.path().c_str(), target.directory.get(), name, AT_SYMLINK_FOLLOW);
  } else {
    const Place source = TRY(find_place(root_, from.path));
    linked = ::linkat(source.directory.get(), source.name.c_str(), target.directory.get(), name, 0);
  }
  if (linked != 0) return Error::from_errno("file.link");
  return stat_fd(target.directory.get(), name);
}

Result<Seen> FileWriter::set_attributes(const FileAt& file, const AttributeChange& change,
                                        Deadline) {
  const Held held = TRY(Held::find(root_, file));
  const NodeInfo before = TRY(stat_fd(held.fd(), ""));
  TRY(set_all(held, before.attributes.type, change));
  Seen seen;
  seen.before = before.validator;
  seen.after = TRY(stat_fd(held.fd(), ""));
  return seen;
}

}  // namespace netfs::origins
