#pragma once
// What version 4 says, in netfs's words: errnos, attributes, validators.
//
// Pure functions.  The validator is weak, though the change attribute is called a version: 4.0 has
// no word for what kind of one it is, and many servers give the time of the last change there,
// which stays as it is for a tick of their clock while the bytes change again; others move a
// counter before the bytes are there.  So one that differs tells that something changed, and an
// equal one is believed only when the file was left alone for a granule (netfs/attributes.h).
// Times, size and fileid stand beside it, for servers whose change attribute is coarser than those.
// Where the server says no time at all there is no telling how old a version is, and it has no
// validator.

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>

#include "base/result.h"
#include "netfs/attributes.h"
#include "origins/nfs/libnfs_api.h"

namespace netfs::origins::nfs {

// The errno of a status; EAGAIN for "later" (DELAY, GRACE, RESOURCE, LOCKED), ESTALE for a handle
// that is gone or has expired.  0 for NFS4_OK.
int errno_of(nfsstat4 status);

// Which attributes are asked for.
using AttributeMask = std::array<uint32_t, 2>;

constexpr AttributeMask mask_of(std::initializer_list<unsigned> attributes) {
  AttributeMask mask{};
  for (const unsigned each : attributes) mask[each / 32] |= 1U << each % 32;
  return mask;
}

// Of which version of which file it is.
inline constexpr AttributeMask kVersionMask =
    mask_of({FATTR4_TYPE, FATTR4_CHANGE, FATTR4_SIZE, FATTR4_FSID, FATTR4_FILEID,
             FATTR4_TIME_METADATA, FATTR4_TIME_MODIFY});
// All of a file.
inline constexpr AttributeMask kFileMask =
    mask_of({FATTR4_TYPE, FATTR4_CHANGE, FATTR4_SIZE, FATTR4_FSID, FATTR4_FILEID, FATTR4_MODE,
             FATTR4_NUMLINKS, FATTR4_OWNER, FATTR4_OWNER_GROUP, FATTR4_RAWDEV, FATTR4_SPACE_USED,
             FATTR4_TIME_ACCESS, FATTR4_TIME_METADATA, FATTR4_TIME_MODIFY});

// What attributes say; those that are not there were not said.
struct Told {
  std::optional<uint32_t> type, read_error, name_length, mode, links;
  std::optional<uint64_t> change, size, fileid, used;
  std::optional<uint64_t> files_available, files_free, files_total;
  std::optional<uint64_t> read_bytes, write_bytes, space_available, space_free, space_total;
  std::optional<std::array<uint64_t, 2>> fsid;
  std::optional<std::array<uint32_t, 2>> device;
  std::optional<std::string> owner, group;
  std::optional<Timestamp> accessed, changed, modified, unit;
};

// EIO for what is cut short, or that nobody asks for here.
Result<Told> told_of(const fattr4& attributes);

// A file whose owners are words still (owners.h).
struct Shown {
  NodeInfo info;
  std::string owner;
  std::string group;
};

// EIO for nonsense, and where what it is, its size or its version are missing.
Result<Shown> shown_of(const fattr4& attributes);

}  // namespace netfs::origins::nfs
