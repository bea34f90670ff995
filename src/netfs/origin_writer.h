#pragma once
// OriginWriter: what a protocol can change at the origin; Origin::writer() gives it.
//
// As with Origin: metadata calls block until their deadline (ETIMEDOUT past it), data calls return
// at once.  Paths are those of Origin; symbolic links are never followed.  A call that answers an
// error may have been carried out nevertheless if the error is ETIMEDOUT or ENOTCONN, and only
// then.
//
// Errors are errnos as a local file system gives them: EROFS, EACCES, EPERM, EEXIST, ENOTEMPTY,
// ENOSPC, EDQUOT, ENAMETOOLONG, EXDEV, EISDIR, ENOTDIR; EOPNOTSUPP for what this protocol has no
// words for.
//
// Thread-safety and life: those of the Origin it belongs to.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_range.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "netfs/attributes.h"
#include "netfs/write_subrequest.h"

namespace netfs {

class OriginFile;

// Constant for the life of the origin.
struct WriteCapabilities {
  uint64_t write_bytes_max = 1 << 20;  // longest subrequest that pays
  // An open file can be used on after its last name is gone.  Else such a file is given a hidden
  // name for as long as it is open here.
  bool files_outlive_names = false;
  // What an open file is, its handle says and its path may not: attributes go by the handle only.
  bool changes_by_handle = false;
  bool keeps_replaced = false;  // replace()
  // Users can set what the validator is made of: a new file may look like an old version.
  bool validator_can_be_set = true;
  bool extended_attributes = false;
  bool posix_acls = false;      // system.posix_acl_*: kept, inherited, and in step with the mode
  bool tells_holes = false;     // seek()
  bool copies = false;          // copy()
  bool nameless_files = false;  // create_nameless(), and link() by a handle
};

enum class RenameHow : uint8_t {
  kReplace,    // what has the new name goes, in one step
  kNoReplace,  // EEXIST when something has it
  kExchange,   // the two change names
  // As the first two, and a whiteout (character device 0/0) takes the old name.
  kReplaceWithWhiteout,
  kNoReplaceWithWhiteout,
};

enum class RemoveKind : uint8_t { kFile, kDirectory };
enum class SyncKind : uint8_t { kAll, kData };
enum class SeekFor : uint8_t { kData, kHole };

struct Owner {
  uint32_t uid = 0;
  uint32_t gid = 0;
};

// What is made under a new name.
struct NewNode {
  FileType type = FileType::kRegular;
  uint32_t permissions = 0;  // as they are to be: no umask is applied any more
  // What they are before the caller's umask: counts where the directory itself says what new files
  // in it allow (a default ACL).  Absent: as `permissions`.
  std::optional<uint32_t> unmasked;
  std::optional<Owner> owner;   // wanted; the origin's own choice where it cannot, without an error
  std::string target;           // of a symbolic link
  uint64_t device = 0;          // of a device
  bool with_directory = false;  // of a file: what its directory is like then will be asked for
  // Whoever makes it knows, as far as names are believed, that there is none of that name and a
  // directory for it: who carries it out later need not look before.
  bool believed_absent = false;
};

struct NewTime {
  bool now = false;  // by the clock of the origin, if it has one to ask
  Timestamp time;
};

// What is to be set of a file; the rest stays.
struct AttributeChange {
  std::optional<uint32_t> permissions;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::optional<uint64_t> size_bytes;
  std::optional<NewTime> atime;
  std::optional<NewTime> mtime;
};

// A file by its path, or by a handle of this origin, which wins.
struct FileAt {
  std::string path;
  OriginFile* open = nullptr;
};

// A file opened for writing.
struct OpenedFile {
  std::unique_ptr<OriginFile> file;
  bool readable = false;  // the same handle reads as well
  NodeInfo info;          // as it was opened
  // What its directory is like since; absent unless it was wanted and came with the rest.
  std::optional<NodeInfo> directory{};
};

// A part of one file that goes to another, or to another place of the same.
struct Copying {
  uint64_t from_offset = 0;
  ByteRange to;
};
struct Copied {
  uint64_t bytes =
      0;      // from the front; fewer than asked at the source's end, or at will; 0: its end
  Seen seen;  // of the target
};

class OriginWriter {
 public:
  virtual ~OriginWriter() = default;

  [[nodiscard]] virtual const WriteCapabilities& write_capabilities() const = 0;

  // Anything but an open file: a directory, a link, a device, an empty regular file.  EEXIST.
  virtual Result<NodeInfo> make(const std::string& path, const NewNode& what,
                                Deadline deadline) = 0;
  // A new regular file, open for reading and writing.  EEXIST.
  virtual Result<OpenedFile> create(const std::string& path, const NewNode& what,
                                    Deadline deadline) = 0;
  // For an origin that makes things in steps: what one of the two above has made at `path` for
  // somebody who died before its last step is brought to what was asked.  EOPNOTSUPP: it does not;
  // ESTALE: that is not what lies there, or others may have had a hand in it.
  virtual Result<NodeInfo> finish(const std::string& path, const NewNode& what, Deadline deadline);
  // The file that a process before this one had open by this descriptor, open as it is.
  // EOPNOTSUPP: files have none here.
  virtual Result<OpenedFile> take_over(UniqueFd descriptor, Deadline deadline);
  // A regular file that is there, for writing, and for reading if that is allowed.
  virtual Result<OpenedFile> open_for_writing(const std::string& path, Deadline deadline) = 0;
  virtual Result<void> remove(const std::string& path, RemoveKind kind, Deadline deadline) = 0;
  virtual Result<void> rename(const std::string& from, const std::string& to, RenameHow how,
                              Deadline deadline) = 0;
  // As kReplace, of files; in the same step what has the new name gets `kept`, which is free.
  // False: nothing had it.  EOPNOTSUPP.
  virtual Result<bool> replace(const std::string& from, const std::string& to,
                               const std::string& kept, Deadline deadline);
  // A new regular file in a directory, without a name: it goes with its handle, unless link() gives
  // it one.  EOPNOTSUPP.
  virtual Result<OpenedFile> create_nameless(const std::string& directory, const NewNode& what,
                                             Deadline deadline);
  // One more name, `to`, of the file `from`.
  virtual Result<NodeInfo> link(const FileAt& from, const std::string& to, Deadline deadline) = 0;
  // Sets all of it or fails; what was set before the failure stays set.
  virtual Result<Seen> set_attributes(const FileAt& file, const AttributeChange& change,
                                      Deadline deadline) = 0;

  // Starts a write to subrequest.file(), which was opened for writing.
  virtual void issue_write(WriteSubrequest& subrequest) = 0;
  // What was written is durable as far as the origin can say.
  virtual Result<void> sync(const FileAt& file, SyncKind kind, Deadline deadline) = 0;
  virtual Result<void> sync_all(Deadline deadline) = 0;
  // `mode` is fallocate(2)'s.
  virtual Result<Seen> allocate(OriginFile& file, uint32_t mode, ByteRange range,
                                Deadline deadline) = 0;

  // lseek(2)'s SEEK_DATA and SEEK_HOLE: ENXIO beyond the end, or of data behind the last;
  // EOPNOTSUPP.
  virtual Result<uint64_t> seek(const FileAt& file, SeekFor what, uint64_t offset,
                                Deadline deadline);
  // Copies at the origin, without the bytes coming here.  EOPNOTSUPP and EXDEV: not these two.
  virtual Result<Copied> copy(const FileAt& from, OriginFile& to, const Copying& what,
                              Deadline deadline);

  // Extended attributes, by full name ("user.x"); EOPNOTSUPP unless they are a capability.
  // ENODATA: no such attribute.  `flags` are setxattr(2)'s.
  virtual Result<std::string> get_xattr(const FileAt& file, const std::string& name,
                                        Deadline deadline);
  virtual Result<std::vector<std::string>> list_xattrs(const FileAt& file, Deadline deadline);
  virtual Result<Seen> set_xattr(const FileAt& file, const std::string& name,
                                 const std::string& value, uint32_t flags, Deadline deadline);
  virtual Result<Seen> remove_xattr(const FileAt& file, const std::string& name, Deadline deadline);
};

}  // namespace netfs
