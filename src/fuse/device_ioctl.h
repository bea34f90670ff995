#pragma once
// The ioctls of /dev/fuse, as facts; inner to the room.

#include <cstdint>
#include <sys/ioctl.h>

#include "fuse/protocol.h"

namespace netfs::fuse {

inline constexpr unsigned kIocMagic = 229;
// On a fresh /dev/fuse: joins the connection of the descriptor given.
inline constexpr unsigned long kIocClone = _IOR(kIocMagic, 0, uint32_t);
inline constexpr unsigned long kIocBackingOpen = _IOW(kIocMagic, 1, proto::BackingMap);
inline constexpr unsigned long kIocBackingClose = _IOW(kIocMagic, 2, uint32_t);

}  // namespace netfs::fuse
