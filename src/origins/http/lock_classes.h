#pragma once
// The lock classes of this module; docs/locks.md has a section for each.

#include "sync/lock_class.h"

namespace netfs::origins::http {

inline constinit sync::LockClass kEngineLock{"http.engine"};
inline constinit sync::LockClass kCallLock{"http.call"};
inline constinit sync::LockClass kListedKindsLock{"http.listed_kinds"};
inline constinit sync::LockClass kWebDavLock{"http.webdav"};

}  // namespace netfs::origins::http
