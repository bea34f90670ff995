#pragma once
// Walk: the way from a server's export, or its root, down to what is mounted.

#include <string>

#include "origins/nfs/names.h"
#include "origins/nfs/settings.h"

namespace netfs::origins::nfs {

// Symbolic links on the way to what is mounted.
inline constexpr unsigned kLinksMax = 16;

// Where a walk ended: at a directory, or at a link that leads elsewhere.
struct Walked {
  Handle handle;
  std::string elsewhere;  // absolute; empty: the handle is it
};

// Down from `directory`, which is `at` (absolute), by the components of `rest`.
Result<Walked> walk(Names& names, Handle directory, std::string at, std::string rest,
                    Deadline deadline);

// "/a" of "/a/b", "/" of "/a".
std::string above(const std::string& path);

// The sentence for who mounts it.
Error not_mounted(const Settings& settings, const Error& error, const std::string& hint);

}  // namespace netfs::origins::nfs
