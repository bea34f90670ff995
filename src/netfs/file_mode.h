#pragma once
// file_mode: a FileType as the type bits of st_mode (S_IFMT), and back.  Pure.
//
//   attributes.type = file_type_of(st.st_mode);

#include <cstdint>
#include <sys/stat.h>

#include "netfs/attributes.h"

namespace netfs {

// kUnknown for bits that name no type.
inline FileType file_type_of(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return FileType::kRegular;
    case S_IFDIR:
      return FileType::kDirectory;
    case S_IFLNK:
      return FileType::kSymlink;
    case S_IFIFO:
      return FileType::kFifo;
    case S_IFSOCK:
      return FileType::kSocket;
    case S_IFCHR:
      return FileType::kCharDevice;
    case S_IFBLK:
      return FileType::kBlockDevice;
    default:
      return FileType::kUnknown;
  }
}

// 0 for kUnknown, which is DT_UNKNOWN to readdir(3).
inline uint32_t type_bits_of(FileType type) {
  switch (type) {
    case FileType::kRegular:
      return S_IFREG;
    case FileType::kDirectory:
      return S_IFDIR;
    case FileType::kSymlink:
      return S_IFLNK;
    case FileType::kFifo:
      return S_IFIFO;
    case FileType::kSocket:
      return S_IFSOCK;
    case FileType::kCharDevice:
      return S_IFCHR;
    case FileType::kBlockDevice:
      return S_IFBLK;
    case FileType::kUnknown:
      break;
  }
  return 0;
}

}  // namespace netfs
