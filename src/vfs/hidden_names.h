#pragma once
// HiddenNames: the names that open files get at an origin whose handles do not outlive names:
// ".netfs-CCCCCCCC-PPPPPPPP-NNNNNNNN": client, process, a number drawn at random.
//
// Of its own client's names a process knows which are of processes before it: those are dead, for a
// client is one process at a time, and nobody has their files open; but for those that were taken
// over from one of them, by whichever mount of this process.  Names of others are left alone.
//
// Thread-safe.
//
//   const HiddenNames names(options.hiding);
//   if (names.is_left_over(entry.name)) ...remove it

#include <cstdint>
#include <string>
#include <string_view>

#include "vfs/options.h"

namespace netfs::vfs {

class HiddenNames {
 public:
  explicit HiddenNames(Hiding hiding) : hiding_(hiding) {}

  // Of a process before this one, but its file is open still: it is left over for no mount of this
  // process.  Before any of them serves.
  static void keep(std::string name);
  [[nodiscard]] std::string next() const;
  [[nodiscard]] bool is_left_over(std::string_view name) const;

 private:
  const Hiding hiding_;
};

}  // namespace netfs::vfs
