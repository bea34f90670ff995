#pragma once
// Node: one version of one inode as this mount knows it; what a nodeid names.
//
// st_ino names the inode, the nodeid (inode, version): when the origin has another version of a
// regular file or a symbolic link, the name gets a new node with the same st_ino, and the old one
// lives on for those who have it open.  Other types have one version for ever.  A file with two
// names has two nodes with one st_ino.
//
// A node lives while the kernel counts lookups of it, while its directory lists it, while it is
// open or has children.  All of this is guarded by the inode table's lock.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/ref.h"
#include "base/unique_fd.h"
#include "base/unique_function.h"
#include "fuse/wire.h"
#include "netfs/library.h"
#include "netfs/read_stream.h"
#include "netfs/writable_file.h"
#include "vfs/ahead.h"
#include "vfs/reading_order.h"
#include "vfs/twice.h"

namespace netfs::vfs {

// The plain part, in the arena.
struct NodeRecord {
  uint64_t node_id;  // 0: free
  uint64_t ino;
  uint64_t lookups;     // by the kernel, not yet forgotten
  uint32_t opens;       // handles of a file or directory
  uint32_t generation;  // of this record: part of the nodeid
  Twice backing_id;     // while handed out
  uint32_t open_mode;   // OpenMode
  uint32_t saved;       // a SavedNode among the table's bytes, once the kernel knows the node
};

enum class OpenMode : uint32_t {
  kClosed = 0,
  kDaemon = 1,     // reads come to us
  kHandedOut = 2,  // the kernel reads the cache's file
};

// What a directory's offsets count before its first name: "." and "..".
inline constexpr uint64_t kDots = 2;

// A listing as it was at one moment; shared by the directory and by handles that read it.
struct Listing : RefCounted<Listing> {
  struct Entry {
    uint32_t name_offset;  // in names
    uint16_t name_bytes;
    FileType type;
    uint64_t ino;
    fuse::NodeId node;  // as it was then; 0: the origin gave the name only
  };
  std::string names;
  std::vector<Entry> entries;
  uint64_t serial = 0;                // another listing, another number
  uint64_t began_in = 0;              // the table's serial number when it began
  bool shown_first = false;           // it is old, and its directory is looked at behind it
  bool has_unknown = false;           // some entries have no node: a name without one may exist
  bool has_gaps = false;              // some that had one were swept before it was whole: the same
  std::vector<uint32_t> directories;  // which entries are
  Ref<AheadClaim> ahead;              // null: somebody asked for it
  // While it comes in it may be read already (coming_listings.h), under the table's lock.
  bool coming = false;
  int error = 0;                                // why it is not whole
  std::vector<UniqueFunction<void()>> waiting;  // for more of it
  Ref<FileOrder> files;                         // once somebody was seen to read them in turn

  ~Listing() {
    if (ahead) ahead->settle(AheadClaim::Outcome::kWasted);
  }
  // Somebody asks for it.
  void asked() const {
    if (ahead) ahead->settle(AheadClaim::Outcome::kUsed);
  }
  void shrink() {
    entries.shrink_to_fit();
    names.shrink_to_fit();
    directories.shrink_to_fit();
  }
  // Whether a name without a node does not exist.
  [[nodiscard]] bool tells_all() const { return !has_unknown && !has_gaps; }
  [[nodiscard]] bool ends_at(uint64_t offset) const { return offset >= entries.size() + kDots; }
  [[nodiscard]] std::string_view name(const Entry& entry) const {
    return std::string_view(names).substr(entry.name_offset, entry.name_bytes);
  }
};

// A detector of access patterns that may outlive its handle by the reads that still use it.
struct SharedStream : RefCounted<SharedStream> {
  explicit SharedStream(std::unique_ptr<ReadStream> made) : stream(std::move(made)) {}
  const std::unique_ptr<ReadStream> stream;
};

struct Node;

struct NodeNameHash {
  using is_transparent = void;
  size_t operator()(const Node* node) const;
  size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
};
struct NodeNameEqual {
  using is_transparent = void;
  bool operator()(const Node* a, const Node* b) const { return a == b; }
  bool operator()(const Node* node, std::string_view name) const;
  bool operator()(std::string_view name, const Node* node) const { return (*this)(node, name); }
};

// What was seen of somebody who walks through the subdirectories of a directory: walk.h.
struct WalkSeen {
  uint64_t serial = 0;     // of the listing that `at` counts in
  uint32_t at = 0;         // the last subdirectory that was asked for, among its listing's
  uint8_t steps = 0;       // 0: nothing; 1: one was asked for; 2: more, in order
  bool deep = false;       // he goes into subdirectories of subdirectories
  bool under_way = false;  // this one is being listed ahead
  bool failed = false;     // that was tried in vain
  bool too_large = false;  // it has more names than are listed for nobody
};

// Names of a directory that were looked for in vain: list_ahead.cc.
struct MissesSeen {
  uint32_t count = 0;  // since then,
  MonoTime since{};
  Duration took{};  // all of them together
};

// A record of a directory's names that may not be in the cache yet: late_targets.h.
struct HeldRecord : RefCounted<HeldRecord> {
  HeldRecord(size_t size, std::atomic<size_t>& all) : size_bytes(size), all_bytes(all) {
    all_bytes += size_bytes;
  }
  ~HeldRecord() { all_bytes -= size_bytes; }
  const size_t size_bytes;
  std::atomic<size_t>& all_bytes;  // outlives it
  std::string bytes;
  MonoTime since{};
};

// What is known of the names of a directory that the cache has: stored_names.cc.
struct KeptNames {
  bool ask = true;           // they may be of use: nobody found otherwise since the listing went
  bool ask_old = true;       // to who takes old ones
  bool taking = false;       // somebody takes them
  bool taken = false;        // the listing here was there
  bool of_another = false;   // it took the place of another, or was dropped: not believed
  bool others_went = false;  // so did directories in it
  bool swept_newer = false;  // names went that were looked at after the last listing
  bool seen_gone = false;    // names were seen to be gone since
  bool outdated = false;     // the names that are stored have ended, and are on their way out
  bool listed = false;       // by this process, or for it
  bool learnt = false;       // the target of a link in it, since it was stored: late_targets.h
  uint32_t crc = 0;          // of that listing
  uint32_t saving = 0;       // records on their way to the store: it is not swept meanwhile
  uint32_t saves = 0;        // so far, by this process
  MonoTime listed_until{};   // and its end
  MonoTime saved_at{};       // when the listing began that is stored; none: none is
  MonoTime amended_at{};     // when targets were added to it
  Ref<HeldRecord> record;    // of links without targets, or null

  [[nodiscard]] bool is_suspect() const {
    return of_another || others_went || swept_newer || seen_gone || outdated;
  }
};

// What a directory node has besides.
struct Directory {
  std::unordered_set<Node*, NodeNameHash, NodeNameEqual> children;
  std::map<std::string, MonoTime, std::less<>> absent;  // names that do not exist, seen when
  Ref<Listing> listing;                                 // complete, or null
  MonoTime listed_at{};                                 // when that began
  Duration listing_took{};
  // It was made here, or was listed, and all its names stand among its children: as of then.  Those
  // that we make since do, too.
  std::optional<MonoTime> whole_since;
  uint64_t lost_in = 0;  // serial of the last change made here that took a name from it
  MissesSeen misses;
  WalkSeen walk;
  KeptNames kept;
  MonoTime shown_until{};  // it was shown although old, its names with it: revalidate.cc
  uint32_t behind = 0;     // looks at names it has that wait or are under way: revalidate.cc
  uint32_t looks = 0;      // at names it has, since `looks_since`: refresh_cheaply.cc
  Duration looks_took{};   // all of them together
  MonoTime looks_since{};
  uint64_t swept = 0;                 // of its names, so far
  uint64_t kernel_has_listing = 0;    // serial of the listing the kernel was last given to keep
  uint64_t kernel_had_forgotten = 0;  // nodes forgotten when it was given that
};

// What a regular file has besides, from its first open or read on.
struct OpenState {
  Ref<File> file;            // ready to be read
  Ref<WritableFile> live;    // while it is open for writing, or open without a name
  uint32_t writers = 0;      // handles open for writing
  bool was_read = false;     // on a writable mount: the kernel may have pages of it
  Ref<SharedStream> stream;  // of reads without a handle (immutable mounts)
  std::list<Node*>::iterator idle;
  bool is_idle = false;          // on the table's list of files nobody has open
  bool preparing = false;        // a worker prepares an open
  bool was_handed_out = false;   // the backing ids may remember it: no file is needed to open it
  bool hand_out_failed = false;  // the kernel or the cache will not have it
  // Whether a descriptor of it is kept for a process after this one: to read by, or to write by as
  // well.
  enum class Kept : uint8_t { kNo, kReads, kWrites } kept = Kept::kNo;
  UniqueFd left;  // by which a process before this one had it open
};

// What few nodes have: most of a tree are names that nobody here has changed.
struct Seldom {
  std::optional<std::string> target;  // of a symbolic link, once read
  MonoTime shown_until{};             // although it was looked at too long ago: revalidate.cc
  uint64_t changed_in = 0;            // serial of the last change made here of it, or in it
  bool written = false;               // unseen, and its size is what we made it
  uint32_t going = 0;                 // changes under way that take a name from it
  uint32_t opening = 0;               // opens under way, which may have its handle already
  // Others made it longer, and the kernel was told so often to let go of its pages: until it has,
  // it is told of no more bytes than these, or the end of its last page would show as zeroes.
  uint32_t letting_go = 0;
  uint64_t size_shown_bytes = 0;
  bool locked = false;          // somebody has asked for a lock of it: see InodeTable::is_same_node
  uint64_t looked_in = 0;       // since then: serial at which the newest look believed of it began
  bool linked = false;          // has another name here, which is another node
  bool pages_doubted = false;   // the kernel read some when a change could still have been hidden
  std::string hiding;           // the hidden name that it is being given, until it has it
  bool hiding_left = false;     // a process before this one said so, and it was not looked for yet
  bool hiding_by_link = false;  // by one more name of it
  bool leaving = false;         // it was hidden, nobody has it open, and its hidden name is to go
  // One more name of a file, on a writable mount: it stands among the children of its directory
  // and for the node that it names; it has that one's record.
  Node* alias_of = nullptr;
  std::vector<std::unique_ptr<Node>> aliases;  // of this node, in no order

  [[nodiscard]] bool is_empty() const {
    return !target && shown_until == MonoTime() && changed_in == 0 && !written && going == 0 &&
           opening == 0 && letting_go == 0 && !locked && !linked && !pages_doubted &&
           hiding.empty() && !leaving && alias_of == nullptr && aliases.empty();
  }
};

struct Node {
  uint32_t index = 0;      // of its record
  uint32_t children = 0;   // nodes that have this as parent, listed or not
  Node* parent = nullptr;  // null for the root only
  std::string name;        // within parent
  Attributes attributes;
  Validator validator;
  std::string identity;  // the origin's or empty
  MonoTime validated_at{};
  uint64_t seen_in = 0;                  // serial of the last listing that held it
  std::unique_ptr<Directory> directory;  // of directories
  std::unique_ptr<OpenState> open;       // of regular files that were opened
  std::unique_ptr<Seldom> seldom;        // what few nodes have
  bool listed = false;                   // parent's children hold it: it is the current version
  bool referenced = false;               // used since the sweeper last came by
  bool doubted = false;                  // not believed until it was looked at again
  bool unseen = false;                   // changed here and not looked at since: see take_unknown
  bool superseded = false;               // the origin has another version: what is cached may go
  bool changed_while_open = false;       // took the place of a version that was open: it is hot
  bool number_moved = false;             // its number is of a path that it does not have any more
  bool hidden = false;                   // removed here, and kept at the origin under a hidden name

  [[nodiscard]] uint64_t changed_in() const { return seldom ? seldom->changed_in : 0; }
  [[nodiscard]] uint64_t looked_in() const { return seldom ? seldom->looked_in : 0; }
  // What was seen of it by who began to look at a smaller serial is older than what is known.
  [[nodiscard]] uint64_t known_in() const { return std::max(changed_in(), looked_in()); }
  [[nodiscard]] MonoTime shown_until() const { return seldom ? seldom->shown_until : MonoTime(); }
  // It was looked at: a tree in which each name was shown once is as small as it was.
  void end_showing() {
    if (shown_until() == MonoTime()) return;
    seldom->shown_until = {};
    if (seldom->is_empty()) seldom.reset();
  }
  [[nodiscard]] bool is_written() const { return seldom && seldom->written; }
  void unset_written() const {
    if (seldom) seldom->written = false;
  }
  [[nodiscard]] bool is_going() const { return seldom && seldom->going > 0; }
  [[nodiscard]] bool is_opening() const { return seldom && seldom->opening > 0; }
  [[nodiscard]] bool is_leaving() const { return seldom && seldom->leaving; }
  [[nodiscard]] bool is_locked() const { return seldom && seldom->locked; }
  [[nodiscard]] Node* alias_of() const { return seldom ? seldom->alias_of : nullptr; }
  [[nodiscard]] bool has_aliases() const { return seldom && !seldom->aliases.empty(); }
  [[nodiscard]] const std::string* target() const {
    return seldom && seldom->target ? &*seldom->target : nullptr;
  }
  [[nodiscard]] uint64_t size_shown_bytes() const {
    const bool held = seldom && seldom->letting_go > 0 && !is_live();
    return held ? std::min(attributes.size_bytes, seldom->size_shown_bytes) : attributes.size_bytes;
  }
  [[nodiscard]] Seldom& seldom_part() {
    if (!seldom) seldom = std::make_unique<Seldom>();
    return *seldom;
  }
  // Whether the kernel may keep its pages for a new open: the same node is the same version, if
  // versions can be told apart.  `racy`: as is_racy(), now.  What may not be kept, nor may what
  // the library remembers of it, which is forgotten.
  [[nodiscard]] bool keep_pages(bool racy) {
    if (validator.strength == ValidatorStrength::kStrong || !seldom) {
      return validator.strength != ValidatorStrength::kNone;
    }
    const bool doubted_pages = seldom->pages_doubted || seldom->linked;
    if (!racy) seldom->pages_doubted = false;
    if (doubted_pages && open && open->file) open->file->forget_racy();
    return validator.strength != ValidatorStrength::kNone && !doubted_pages;
  }
  // Whether reads go to the origin, and what it shows is the same version however it changes.
  [[nodiscard]] bool is_live() const { return open && open->live; }
  // Whether some of what was written here is not at the origin yet.
  [[nodiscard]] bool is_dirty() const { return is_live() && open->live->dirty(); }

  [[nodiscard]] OpenState& open_state() {
    if (!open) open = std::make_unique<OpenState>();
    return *open;
  }
};

inline size_t NodeNameHash::operator()(const Node* node) const {
  return (*this)(std::string_view(node->name));
}
inline bool NodeNameEqual::operator()(const Node* node, std::string_view name) const {
  return node->name == name;
}

}  // namespace netfs::vfs
