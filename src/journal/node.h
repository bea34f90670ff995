#pragma once
// Node: one file or directory that the overlay knows: where users see it, where it is at the origin
// as of the changes that are done there, and what of it differs.
//
// Value types without locks; the overlay owns the nodes.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "journal/extents.h"
#include "netfs/attributes.h"
#include "netfs/origin_writer.h"

namespace netfs::journal {

enum class NodeId : uint64_t { kNone = 0, kRoot = 1 };

// A name in a directory.
struct Position {
  NodeId directory = NodeId::kNone;
  std::string name;

  friend bool operator==(const Position&, const Position&) = default;
};

// What is shown of a node besides where it is; copied to be used without the overlay's lock.
struct NodeState {
  FileType type = FileType::kUnknown;
  // As it was made here, or as the origin showed it before the changes that are pending, or just
  // after the last of them.
  std::optional<NodeInfo> base;
  std::optional<uint32_t> permissions;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::optional<Timestamp> atime;
  std::optional<Timestamp> mtime;
  std::optional<uint64_t> size_set;  // else that of `base`,
  uint64_t size_least = 0;           // and never less than this
  // What was shown of it before renames, while the origin shows what they left (`base`).
  std::optional<Validator> shown_as;
  Timestamp changed_at;      // when the last change was made here
  uint64_t changed = 0;      // its sequence; 0: none
  size_t pending = 0;        // changes of it that are not at the origin
  size_t names_pending = 0;  // of a directory: changes of names in it that are not,
  Timestamp names_at;        // and the last of them since somebody set its time
  uint64_t names_lost = 0;   // sequence of the last change that took a name from it
  std::string target;        // of a symbolic link that was made here

  [[nodiscard]] uint64_t size_bytes() const;
  // Whether what the origin shows of it is needed to show it.
  [[nodiscard]] bool asks_origin() const { return pending == 0 || !base; }
};

// What users are shown.  `origin`: what the origin shows of it; null: it is not there, or was not
// needed.  `mark`: the first part of validators made here.
NodeInfo shown(const NodeState& state, const NodeInfo* origin, const std::string& mark);

// A name in a directory that is not as the origin has it, or whose node is known.
struct Entry {
  NodeId node = NodeId::kNone;  // none: there is nothing of that name
  size_t pending = 0;           // changes of it that are not at the origin
};

struct Node {
  NodeId id = NodeId::kNone;
  NodeState state;
  std::optional<Position> here;   // for users; none: it was removed
  std::optional<Position> there;  // at the origin; none: it is not there (yet, or any more)
  // The origin's validator of it, if nobody but us has changed it.
  std::optional<Validator> expected;
  Extents extents;
  std::vector<std::pair<uint64_t, uint64_t>> cuts;  // pending: sequence, and the size it was cut to
  // Changes of bytes that are done there, in order, while others wait: what ours is made of if it
  // has to go beside.
  std::vector<RecordPlace> kept;
  bool not_whole = false;                // some of them were let go of
  std::map<std::string, Entry> entries;  // of a directory
  bool made_here =
      false;             // of a directory: nobody else has put anything into it, as far as is known
  size_t held = 0;       // of a directory: nodes that the origin has in it
  unsigned open = 0;     // handles
  bool adrift = false;   // bytes of it were set aside since they were opened: they write no more
  bool beside = false;   // it went beside: what its handles had open at the origin is theirs
  bool trouble = false;  // some of it went beside or was set aside, and nobody was told

  // How much of what the origin has of its bytes counts.
  [[nodiscard]] uint64_t visible_bytes() const;
};

}  // namespace netfs::journal
