#include "origins/nfs/wire4.h"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <sys/sysmacros.h>
#include <utility>

#include "origins/nfs/wire.h"

namespace netfs::origins::nfs {

namespace {

constexpr uint32_t kPermissions = 0555;  // where the server has no modes

// XDR from its front; zeros beyond its end, and then it was not whole.
class Values {
 public:
  explicit Values(std::string_view bytes) : bytes_(bytes) {}

  uint32_t u32() {
    uint32_t value = 0;
    for (const char byte : take(4)) value = value << 8 | static_cast<uint8_t>(byte);
    return value;
  }
  uint64_t u64() {
    const uint64_t high = u32();
    return high << 32 | u32();
  }
  std::string text() {
    const uint32_t length = u32();
    const std::string text(take(length));
    take((4 - length % 4) % 4);
    return text;
  }
  // A server may say anything; what is further away than any clock is cut, to be reckoned with.
  Timestamp time() {
    constexpr int64_t kFurthest = int64_t{1} << 33;
    const int64_t seconds = std::clamp(static_cast<int64_t>(u64()), -kFurthest, kFurthest);
    return {.seconds = seconds, .nanoseconds = std::min(u32(), 999'999'999U)};
  }
  [[nodiscard]] bool whole() const { return whole_; }

 private:
  std::string_view take(size_t length) {
    if (length > bytes_.size()) {
      whole_ = false;
      bytes_ = {};
      return {};
    }
    const std::string_view taken = bytes_.substr(0, length);
    bytes_.remove_prefix(length);
    return taken;
  }

  std::string_view bytes_;
  bool whole_ = true;
};

template <class T>
struct Row {
  unsigned attribute;
  std::optional<T> Told::*member;
};

constexpr Row<uint32_t> kNumbers[] = {{FATTR4_TYPE, &Told::type},
                                      {FATTR4_RDATTR_ERROR, &Told::read_error},
                                      {FATTR4_MAXNAME, &Told::name_length},
                                      {FATTR4_MODE, &Told::mode},
                                      {FATTR4_NUMLINKS, &Told::links}};
constexpr Row<uint64_t> kLongNumbers[] = {{FATTR4_CHANGE, &Told::change},
                                          {FATTR4_SIZE, &Told::size},
                                          {FATTR4_FILEID, &Told::fileid},
                                          {FATTR4_FILES_AVAIL, &Told::files_available},
                                          {FATTR4_FILES_FREE, &Told::files_free},
                                          {FATTR4_FILES_TOTAL, &Told::files_total},
                                          {FATTR4_MAXREAD, &Told::read_bytes},
                                          {FATTR4_MAXWRITE, &Told::write_bytes},
                                          {FATTR4_SPACE_AVAIL, &Told::space_available},
                                          {FATTR4_SPACE_FREE, &Told::space_free},
                                          {FATTR4_SPACE_TOTAL, &Told::space_total},
                                          {FATTR4_SPACE_USED, &Told::used}};
constexpr Row<std::string> kTexts[] = {{FATTR4_OWNER, &Told::owner},
                                       {FATTR4_OWNER_GROUP, &Told::group}};
constexpr Row<Timestamp> kTimes[] = {{FATTR4_TIME_ACCESS, &Told::accessed},
                                     {FATTR4_TIME_DELTA, &Told::unit},
                                     {FATTR4_TIME_METADATA, &Told::changed},
                                     {FATTR4_TIME_MODIFY, &Told::modified}};

template <class T, size_t kRows, class Take>
bool take_from(const Row<T> (&rows)[kRows], unsigned attribute, Told& told, Take take) {
  for (const Row<T>& row : rows) {
    if (row.attribute != attribute) continue;
    told.*row.member = take();
    return true;
  }
  return false;
}

// False: nobody knows how long it is.
bool take(unsigned attribute, Values& values, Told& told) {
  if (attribute == FATTR4_FSID) {
    const uint64_t major = values.u64();
    told.fsid = {major, values.u64()};
    return true;
  }
  if (attribute == FATTR4_RAWDEV) {
    const uint32_t major = values.u32();
    told.device = {major, values.u32()};
    return true;
  }
  return take_from(kNumbers, attribute, told, [&] { return values.u32(); }) ||
         take_from(kLongNumbers, attribute, told, [&] { return values.u64(); }) ||
         take_from(kTexts, attribute, told, [&] { return values.text(); }) ||
         take_from(kTimes, attribute, told, [&] { return values.time(); });
}

FileType kind_of(uint32_t type) {
  switch (type) {
    case NF4REG:
      return FileType::kRegular;
    case NF4DIR:
      return FileType::kDirectory;
    case NF4BLK:
      return FileType::kBlockDevice;
    case NF4CHR:
      return FileType::kCharDevice;
    case NF4LNK:
      return FileType::kSymlink;
    case NF4SOCK:
      return FileType::kSocket;
    case NF4FIFO:
      return FileType::kFifo;
    default:
      return FileType::kUnknown;
  }
}

Validator version_of(const Told& told) {
  if (!told.changed && !told.modified) return {};
  Validator validator{.strength = ValidatorStrength::kWeak, .bytes = "c"};
  append(validator.bytes, *told.change);
  append(validator.bytes, *told.size);
  append(validator.bytes, *told.fileid);
  for (const std::optional<Timestamp>& time : {told.changed, told.modified}) {
    append(validator.bytes, time.value_or(Timestamp()).seconds);
    append(validator.bytes, time.value_or(Timestamp()).nanoseconds);
  }
  // Users can set the one, and into the future; the other says when it changed.
  validator.changed_at = told.changed ? *told.changed : *told.modified;
  return validator;
}

}  // namespace

int errno_of(nfsstat4 status) {
  switch (status) {
    case NFS4_OK:
      return 0;
    case NFS4ERR_DELAY:
    case NFS4ERR_GRACE:
    case NFS4ERR_RESOURCE:
    case NFS4ERR_LOCKED:
      return EAGAIN;
    case NFS4ERR_STALE:
    case NFS4ERR_BADHANDLE:
    case NFS4ERR_FHEXPIRED:
      return ESTALE;
    case NFS4ERR_WRONGSEC:
      return EACCES;
    // Of a name below a symbolic link, which is not followed there.
    case NFS4ERR_SYMLINK:
      return ENOTDIR;
    case NFS4ERR_BADNAME:
    case NFS4ERR_BADCHAR:
      return EINVAL;
    case NFS4ERR_NOTSUPP:
    case NFS4ERR_ATTRNOTSUPP:
    case NFS4ERR_MINOR_VERS_MISMATCH:
      return EOPNOTSUPP;
    case NFS4ERR_PERM:
    case NFS4ERR_NOENT:
    case NFS4ERR_IO:
    case NFS4ERR_NXIO:
    case NFS4ERR_ACCESS:
    case NFS4ERR_NOTDIR:
    case NFS4ERR_ISDIR:
    case NFS4ERR_INVAL:
    case NFS4ERR_FBIG:
    case NFS4ERR_NOSPC:
    case NFS4ERR_ROFS:
      return static_cast<int>(status);  // the same number as Linux has
    case NFS4ERR_NAMETOOLONG:
      return ENAMETOOLONG;
    case NFS4ERR_DQUOT:
      return EDQUOT;
    default:
      return EIO;
  }
}

Result<Told> told_of(const fattr4& attributes) {
  Told told;
  Values values({attributes.attr_vals.attrlist4_val, attributes.attr_vals.attrlist4_len});
  for (unsigned word = 0; word < attributes.attrmask.bitmap4_len; ++word) {
    const uint32_t bits = aligned(attributes.attrmask.bitmap4_val + word);
    for (unsigned bit = 0; bit < 32; ++bit) {
      if ((bits & 1U << bit) == 0) continue;
      if (!take(word * 32 + bit, values, told)) {
        return Error(EIO, "nfs.attributes", "the server says what it was not asked for");
      }
    }
  }
  if (!values.whole()) return Error(EIO, "nfs.attributes", "the server's answer is cut short");
  return told;
}

Result<Shown> shown_of(const fattr4& attributes) {
  Told told = TRY(told_of(attributes));
  if (!told.type || !told.change || !told.size || !told.fsid || !told.fileid) {
    return Error(EIO, "nfs.attributes", "the server does not say what it is");
  }
  if (*told.size > INT64_MAX) return Error(EIO, "nfs.attributes", "no file has that size");
  Shown shown{.owner = std::move(told.owner).value_or(""),
              .group = std::move(told.group).value_or("")};
  Attributes& to = shown.info.attributes;
  to.type = kind_of(*told.type);
  to.permissions = told.mode.value_or(kPermissions) & 07777;
  to.link_count = told.links.value_or(1);
  to.size_bytes = *told.size;
  to.allocated_bytes = told.used.value_or(0);
  to.mtime = told.modified.value_or(Timestamp());
  to.atime = told.accessed.value_or(to.mtime);
  to.ctime = told.changed.value_or(to.mtime);
  if (told.device && (to.type == FileType::kCharDevice || to.type == FileType::kBlockDevice)) {
    to.device = ::makedev((*told.device)[0], (*told.device)[1]);
  }
  shown.info.validator = version_of(told);
  append(shown.info.identity, *told.fileid);
  append(shown.info.identity, *told.fsid);
  return shown;
}

}  // namespace netfs::origins::nfs
