#pragma once
// Which target of a symbolic link is shown under Symlinks::kContain.
//
// A link of a hostile origin must not lead programs of this machine out of the mount: "/etc/passwd"
// or "../../../etc/passwd" would be this machine's, not the origin's.  The kernel walks a target
// from the link's own directory, which lies as deep beneath the mount as its path has components.
// So ".." at the front may climb that far and no farther, and ".." behind a name is refused: that
// name may be a link itself, and ".." then climbs from wherever it led.  An absolute target is
// refused, unless it is known where the tree lies at the origin and the target lies in it: then it
// is shown relative.  Pure.
//
//   contained_target("a/b", "../c", "")              -> "../c"
//   contained_target("a/b", "../../../c", "")        -> nothing
//   contained_target("a/b", "/srv/data/c", "/srv/data") -> "../../c"

#include <optional>
#include <string>
#include <string_view>

namespace netfs::vfs {

// `directory`: the link's, relative to the mount, "" its root.  `remote_root`: where the mounted
// tree lies at the origin, without a slash at its end unless it is "/"; "" is unknown.
std::optional<std::string> contained_target(std::string_view directory, std::string_view target,
                                            std::string_view remote_root);

}  // namespace netfs::vfs
