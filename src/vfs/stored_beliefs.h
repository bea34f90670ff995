#pragma once
// Which of the names that the cache has are believed, and from when: stored_names.cc says why.

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "netfs/names_record.h"
#include "vfs/handed_on.h"
#include "vfs/node.h"
#include "vfs/options.h"

namespace netfs::vfs {

struct Seen {
  MonoTime at;           // its names were seen then, or later
  bool is_sure = false;  // how long ago is known
};
[[nodiscard]] Seen seen_at(const NamesHead& head, const std::string& boot, const Clock& clock);

// When they count as seen; nothing: they are not believed.
[[nodiscard]] std::optional<MonoTime> counts_as(const Seen& seen, const NamesHead& head,
                                                const Options& options, MonoTime now, Old old);

// Whether this is the directory that was listed, and what this process knows of it, if it looked
// later, says that it still is as it was.
[[nodiscard]] bool is_of(const NamesHead& head, const Node& node, MonoTime seen);

// Whether nothing later was seen of its names here and forgotten.
[[nodiscard]] bool is_newest(const KeptNames& kept, uint32_t crc);

// Whether the cache is asked before the origin.
[[nodiscard]] bool asks_first(const Options& options);

}  // namespace netfs::vfs
