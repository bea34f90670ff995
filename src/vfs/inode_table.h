#pragma once
// InodeTable: every node this mount knows, by nodeid and by name; and the open handles.
//
// A nodeid is (epoch, generation, index of the record) in 16, 22 and 26 bits: it is never used
// again, and one of an earlier process is not found, which the caller answers with ESTALE.  1 is
// the root.  What must not be destroyed under the lock is moved to a Graveyard, which its owner
// buries after the lock is released: closing a file may be I/O.
//
// Thread-safety: every function needs `mutex`; nodes are touched under it only.

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "fuse/backing.h"
#include "fuse/wire.h"
#include "netfs/attributes.h"
#include "sync/mutex.h"
#include "vfs/arena.h"
#include "vfs/bytes_arena.h"
#include "vfs/inode_number.h"
#include "vfs/lock_classes.h"
#include "vfs/node.h"
#include "vfs/options.h"
#include "vfs/saved_node.h"

namespace netfs::vfs {

// What is destroyed after the lock.
struct Graveyard {
  std::vector<Ref<File>> files;
  std::vector<Ref<File>> superseded;  // FileSystem tells them so first; nobody reads them
  std::vector<Ref<SharedStream>> streams;
  std::vector<Ref<Listing>> listings;
  std::vector<fuse::NodeId> backed;   // nodes that are gone and were handed out
  std::vector<fuse::NodeId> foreign;  // others changed them while they are open here
  std::vector<fuse::NodeId> leaving;  // hidden files that nobody has open any more
  std::vector<fuse::NodeId> kept;     // nobody has open any more what a descriptor is kept of
  std::vector<UniqueFd> descriptors;
};

struct HandleRecord {
  enum Flag : uint32_t {
    kDirectory = 1,
    kWritable = 2,
  };
  uint64_t handle_id;  // 0: free
  uint64_t node_id;
  uint64_t unique;  // of the request that it answers
  Twice flags;
  Twice position;  // of a directory's: a SavedPosition among the table's bytes
  Twice error;     // of what was kept of its file's writes and is lost, until it was told
  uint32_t generation;
  uint32_t crc;  // of the first three

  [[nodiscard]] uint32_t checksum() const;
  [[nodiscard]] bool has(Flag flag) const { return (flags.get().value_or(0) & flag) != 0; }
};

// The heap part of a handle.
struct Handle {
  Node* node = nullptr;
  Ref<SharedStream> stream;  // of a file, once it was read
  Ref<Listing> listing;      // of a directory
  uint64_t errors_seen = 0;  // of the kept writes of its file: the serial number
  bool writable = false;     // a file's: counts as a writer
  bool owes_error = false;   // its record's is to be told by this process
  // Of a directory, opened in a process before this one: where it goes on in a new listing.
  std::optional<SavedPosition> resume;
};

class InodeTable {
 public:
  // `writable`: names of one identity are one node.
  // `memory`: empty, or what a process before this one left, which is taken over.
  InodeTable(Ref<ArenaMemory> memory, std::string_view volume_key, const NodeInfo& root,
             uint16_t epoch, MonoTime now, Counters& counters,
             Options::Write write = Options::Write::kNo);
  ~InodeTable();
  InodeTable(const InodeTable&) = delete;
  InodeTable& operator=(const InodeTable&) = delete;

  // What a process before this one had seen of the root last; nullopt: it had left nothing of that.
  static std::optional<NodeInfo> root_left_in(const Ref<ArenaMemory>& memory);

  // Tells apart the forms of what lies in arena memory.
  static constexpr uint32_t kLayout = (4U << 16) | (sizeof(NodeRecord) << 8) | sizeof(HandleRecord);

  sync::Mutex mutex{kInodeTableLock};

  // Null when the id is not one of ours, alive.
  Node* find(fuse::NodeId id) REQUIRES(mutex);
  // By the id without its epoch.
  Node* find_of_any_epoch(uint64_t id) REQUIRES(mutex);
  Node& root() REQUIRES(mutex) { return *nodes_[0]; }
  NodeRecord& record(const Node& node) REQUIRES(mutex) { return records_[node.index]; }
  fuse::NodeId id(const Node& node) REQUIRES(mutex) {
    return fuse::NodeId(records_[node.index].node_id);
  }
  static std::string path_of(const Node& node);
  // Whether a path leads to it: it is the root, or the version that its directory lists.  What a
  // directory listed is not current any more once the directory itself is not.
  [[nodiscard]] static bool is_current(const Node& node) {
    return node.listed || node.parent == nullptr;
  }

  // The current version of a name, or null.
  Node* child(Node& directory, std::string_view name) REQUIRES(mutex);
  // As child(), with the guess that it is still the node `id`.
  Node* child(Node& directory, std::string_view name, fuse::NodeId id) REQUIRES(mutex);
  // What stands under the name in its directory: the node, or an alias of it.
  Node* entry(Node& directory, std::string_view name) REQUIRES(mutex);
  // st_ino of a name whose attributes nobody knows yet.
  [[nodiscard]] uint64_t unknown_ino(const Node& directory, std::string_view name) REQUIRES(mutex);

  // The origin shows `name` so now: the node of that version, new if it is a new one.
  Node& adopt(Node& directory, std::string_view name, NodeInfo info, MonoTime now,
              Graveyard& graveyard) REQUIRES(mutex);
  // A new file without a name, made in `directory`.
  Node& nameless(Node& directory, NodeInfo info, MonoTime now) REQUIRES(mutex);
  // The kernel has let go of the pages of a node that stood among Graveyard::foreign.
  void pages_are_gone(fuse::NodeId id) REQUIRES(mutex);
  // The root is what it is: it has no other version.
  void update_root(NodeInfo info, MonoTime now) REQUIRES(mutex);
  // The origin has no such name.
  void set_absent(Node& directory, std::string_view name, MonoTime now, Graveyard& graveyard)
      REQUIRES(mutex);
  [[nodiscard]] static bool same_version(const Node& node, const NodeInfo& info);
  [[nodiscard]] static bool same_file(const Node& node, const NodeInfo& info);

  // Changes that were made here, after the origin has done them.  What an earlier look at the
  // origin brings after that is not believed: see serial(). The node is so now, by our own doing:
  // the same version.  kBytes: what was read of it is old.
  enum class Changed : uint8_t { kAttributes, kBytes };
  void take_own(Node& node, NodeInfo info, Changed what, MonoTime now, Graveyard& graveyard)
      REQUIRES(mutex);
  // Nobody knows what it is like: it is asked before it is shown or read, and what it is like then
  // is our own doing, and no other version.
  void take_unknown(Node& node, Changed what, Graveyard& graveyard) REQUIRES(mutex);
  // Bytes were written up to `end` that are not at the origin yet: what is known here counts.
  void take_kept(Node& node, uint64_t end_bytes, Timestamp when, Graveyard& graveyard)
      REQUIRES(mutex);
  // Names came or went: the listing is old, and so are the directory's attributes.
  enum class Names : uint8_t { kCame, kWent };
  void names_changed(Node& directory, Graveyard& graveyard, Names how = Names::kWent)
      REQUIRES(mutex);
  // The origin has such a name, whatever is known of it here.
  void is_taken(Node& directory, std::string_view name, Graveyard& graveyard) REQUIRES(mutex);
  // The first name of a node that is open without one.
  void give_name(Node& node, Node& directory, std::string_view name, Graveyard& graveyard)
      REQUIRES(mutex);
  // One more name of a node.
  void add_name(Node& node, Node& directory, std::string_view name, MonoTime now,
                Graveyard& graveyard) REQUIRES(mutex);
  // A name goes; a node that keeps others goes by one of those.
  void remove_name(Node& directory, std::string_view name, MonoTime now, Graveyard& graveyard)
      REQUIRES(mutex);
  // A change that took a name from it, or failed to, has ended: what nobody needs is let go of.
  void name_is_settled(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  // An open of it that counted from before the origin was asked has its handle, or failed.
  void opening_ended(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  // An open file's only name goes, and the origin has it under another one from now on.
  void hide(Node& node, std::string hidden_name) REQUIRES(mutex);
  // The name that it is about to have then, before the origin is asked; empty: it is not to be.
  void set_hiding(Node& node, std::string hidden_name, bool by_link) REQUIRES(mutex);
  // Those of which a process before this one had said so, with the directories of their names.
  struct BeingHidden {
    fuse::NodeId node;
    std::string path;
    std::string hidden_path;
    bool by_link = false;
  };
  [[nodiscard]] std::vector<BeingHidden> being_hidden() REQUIRES(mutex);
  // One of those still.
  [[nodiscard]] static bool is_being_hidden(const Node& node) {
    return node.seldom && node.seldom->hiding_left && node.parent != nullptr;
  }
  // A hidden file that nobody has open leaves: what is left of it is its hidden name, and it is
  // known, also to a process after this one, until the origin has taken that.
  void has_left(fuse::NodeId id, Graveyard& graveyard) REQUIRES(mutex);
  // Those that a process before this one has left so; once.
  [[nodiscard]] std::vector<fuse::NodeId> leaving_before() REQUIRES(mutex);
  // It has its name back.
  void show_again(Node& node, std::string name, Graveyard& graveyard) REQUIRES(mutex);
  struct Moved {
    Ref<WritableFile> live;
    std::string path;
  };
  // A file that is being written may have lost the name it was opened by, and have another one.
  void add_where_it_is_now(fuse::NodeId id, std::vector<Moved>& moved) REQUIRES(mutex);
  // What has a name gets another one, and what had that goes.  Files that are open for writing
  // beneath, with their new paths, are to be told.
  std::vector<Moved> rename(Node& from, std::string_view name, Node& to, std::string_view new_name,
                            MonoTime now, Graveyard& graveyard) REQUIRES(mutex);
  std::vector<Moved> exchange(Node& from, std::string_view name, Node& to,
                              std::string_view new_name, Graveyard& graveyard) REQUIRES(mutex);
  // A number greater than any before; a look at the origin that began at a smaller one than a
  // node's changed_in knows nothing of that change.
  uint64_t serial() REQUIRES(mutex) { return ++serial_; }

  void add_lookup(Node& node) REQUIRES(mutex);
  // Takes back a lookup that the kernel was not told of.
  void drop_lookup(Node& node) REQUIRES(mutex);
  void forget(fuse::NodeId id, uint64_t lookups, Graveyard& graveyard) REQUIRES(mutex);

  // A handle of an open node; counts as open.  `unique`: of the request.
  fuse::HandleId open_handle(Node& node, OpenMode mode, Graveyard& graveyard, uint64_t unique = 0)
      REQUIRES(mutex);
  // The handle that a process before this one has made for that request, once: nobody may have been
  // told of it.  0: none.
  fuse::HandleId opened_before(uint64_t unique) REQUIRES(mutex);
  Handle* handle(fuse::HandleId id) REQUIRES(mutex);
  // The same where it is one of that node: the kernel says both, and its record may be damaged.
  Handle* handle(fuse::HandleId id, fuse::NodeId opened) REQUIRES(mutex);
  // A directory's handle reads this listing from now on.
  void rewind(fuse::HandleId id, const Ref<Listing>& listing, Graveyard& graveyard) REQUIRES(mutex);
  void close_handle(fuse::HandleId id, Graveyard& graveyard) REQUIRES(mutex);
  // A descriptor of it is kept for a process after this one, until nobody has it open.
  void note_kept(Node& node, OpenState::Kept how) REQUIRES(mutex);
  [[nodiscard]] size_t kept_count() REQUIRES(mutex) { return kept_files_; }
  void set_writable(fuse::HandleId id) REQUIRES(mutex);
  // A directory's handle was read up to there; reads this listing from now on, opened as it was by
  // a process before this one.
  void note_position(fuse::HandleId id, const SavedPosition& position) REQUIRES(mutex);
  void read_on(fuse::HandleId id, const Ref<Listing>& listing) REQUIRES(mutex);
  // What a process before this one left to tell the handle, once; 0: nothing.  A process after this
  // one is left it as well, until told(): the handle has heard of all that it is owed.
  [[nodiscard]] int take_lost(fuse::HandleId id) REQUIRES(mutex);
  void told(fuse::HandleId id) REQUIRES(mutex);
  // Some of what was kept of its writes is lost: each who has it open for writing is to be told, by
  // a process after this one if this one does not come to it.  Node 0: nobody knows whose they
  // were, and all who have a file open for writing are told.
  void note_lost(fuse::NodeId id, int error, bool by_us) REQUIRES(mutex);
  // Nodes that a process before this one has handed to the kernel.
  [[nodiscard]] std::vector<fuse::BackingIds::Known> handed_out() REQUIRES(mutex);
  // The names under which files that are open lie hidden, or may.
  [[nodiscard]] std::vector<std::string> hidden_names() REQUIRES(mutex);
  // What was taken over, and what could not be.
  struct Restored {
    size_t nodes = 0;
    size_t handles = 0;
    size_t damaged = 0;
  };
  [[nodiscard]] const Restored& restored() const { return restored_; }

  // A node that is being opened stays; once it no longer is, it may go.
  void set_preparing(Node& node, bool preparing, Graveyard& graveyard) REQUIRES(mutex);
  // The node's file is ready to be read; while nobody has it open it is kept as one of the
  // kIdleFilesMax last used.
  void keep_file(Node& node, Ref<File> file, Graveyard& graveyard) REQUIRES(mutex);
  // What was ready is not the node's any more: the next read gets it ready anew.
  void detach_file(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  // It was used just now.
  void touch_file(Node& node, Graveyard& graveyard) REQUIRES(mutex);

  // Lets go of nodes that nobody needs while there are more than `unreferenced_max`; looks at a
  // bounded number of them.  True: there are more still.
  bool sweep(size_t unreferenced_max, Graveyard& graveyard) REQUIRES(mutex);
  // So many have gone since this was last true that their memory is worth giving back.
  bool many_have_gone() REQUIRES(mutex);

  // Believes nothing of a node and of what is beneath it until it was looked at again.
  void doubt(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  // Its name leads to something else at the origin, and it has none from now on, nor has what is
  // beneath it.
  void go_elsewhere(Node& node, Graveyard& graveyard) REQUIRES(mutex);

  // By index; some are null.
  [[nodiscard]] const std::vector<std::unique_ptr<Node>>& all() REQUIRES(mutex) { return nodes_; }
  [[nodiscard]] size_t node_count() REQUIRES(mutex) { return records_.in_use(); }
  [[nodiscard]] size_t unreferenced_count() REQUIRES(mutex) {
    return records_.in_use() - referenced_;
  }
  [[nodiscard]] size_t handle_count() REQUIRES(mutex) { return handle_records_.in_use(); }
  [[nodiscard]] size_t idle_file_count() REQUIRES(mutex) { return idle_files_.size(); }
  [[nodiscard]] uint64_t ino_collisions() REQUIRES(mutex) { return numbers_.collisions(); }
  // How many nodes the kernel forgot altogether, ever.
  [[nodiscard]] uint64_t forgotten() REQUIRES(mutex) { return forgotten_; }

 private:
  Node& create(Node* parent, std::string_view name, NodeInfo info, MonoTime now) REQUIRES(mutex);
  void make_root(const NodeInfo& info, MonoTime now) REQUIRES(mutex);
  void save_root() REQUIRES(mutex);

  // inode_restore.cc
  void restore(MonoTime now) REQUIRES(mutex);
  void restore_node(uint32_t index, SavedNode saved, MonoTime now) REQUIRES(mutex);
  void restore_place(Node& node, uint64_t parent_id, uint8_t flags) REQUIRES(mutex);
  void restore_leaving(Node& node) REQUIRES(mutex);
  [[nodiscard]] bool is_whole(const HandleRecord& record, uint32_t index) REQUIRES(mutex);
  [[nodiscard]] std::vector<uint32_t> whole_opens() REQUIRES(mutex);
  void restore_handle(uint32_t index, std::vector<uint32_t>& used) REQUIRES(mutex);
  void save(Node& node) REQUIRES(mutex);
  void save_again(const Node& node) REQUIRES(mutex);
  void unsave(NodeRecord& record) REQUIRES(mutex);
  [[nodiscard]] std::string saved_form(const Node& node) REQUIRES(mutex);
  void unlist(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  void unlist_alias(Node& alias, Graveyard& graveyard) REQUIRES(mutex);
  void keep_number(Node& node) REQUIRES(mutex);
  uint64_t number_of_new(const Node& node) REQUIRES(mutex);
  void promote_alias(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  void release_live(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  void lose_name(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  void put(Node& entry, Node& directory, std::string_view name, Graveyard& graveyard)
      REQUIRES(mutex);
  void collect_moved(Node& entry, std::vector<Moved>& moved, Graveyard& graveyard) REQUIRES(mutex);
  void unlist_children(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  void let_go_if_unused(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  void leave(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  void free_if_unused(Node* node, Graveyard& graveyard) REQUIRES(mutex);
  void free_node(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  void take_update(Node& node, NodeInfo info, MonoTime now) REQUIRES(mutex);
  [[nodiscard]] bool is_same_node(const Node& node, const NodeInfo& info) REQUIRES(mutex);
  void take_same(Node& node, NodeInfo info, MonoTime now, Graveyard& graveyard) REQUIRES(mutex);
  void leave_idle(Node& node) REQUIRES(mutex);
  Node* by_other_name(const NodeInfo& info) REQUIRES(mutex);
  Node* by_lost_name(const NodeInfo& info) REQUIRES(mutex);
  bool forget_absent(Directory& directory, std::string_view name) REQUIRES(mutex);

  const uint16_t epoch_;
  Counters& counters_;
  InodeNumbers numbers_ GUARDED_BY(mutex);
  const Ref<ArenaMemory> memory_;
  Arena<NodeRecord> records_ GUARDED_BY(mutex);
  std::vector<std::unique_ptr<Node>> nodes_ GUARDED_BY(mutex);  // by index of the record
  Arena<HandleRecord> handle_records_ GUARDED_BY(mutex);
  BytesArena saved_ GUARDED_BY(mutex);
  Restored restored_;                                                             // set once
  std::unordered_map<uint64_t, fuse::HandleId> opened_before_ GUARDED_BY(mutex);  // by request
  std::vector<fuse::NodeId> hiding_left_ GUARDED_BY(mutex);  // those of being_hidden(), at first
  std::vector<fuse::NodeId> leaving_before_ GUARDED_BY(mutex);
  std::vector<std::unique_ptr<Handle>> handles_ GUARDED_BY(mutex);
  std::list<Node*> idle_files_ GUARDED_BY(mutex);  // least recently used first
  size_t referenced_ GUARDED_BY(mutex) = 0;        // nodes with lookups
  size_t absent_ GUARDED_BY(mutex) = 0;            // names remembered as absent
  size_t kept_files_ GUARDED_BY(mutex) = 0;        // nodes of which a descriptor is kept
  uint64_t forgotten_ GUARDED_BY(mutex) = 0;
  const bool writable_;
  // On a writable mount: regular files by the origin's identity, the newest version of each.
  std::unordered_map<std::string, Node*> by_identity_ GUARDED_BY(mutex);
  uint64_t serial_ GUARDED_BY(mutex) = 0;
  // Numbers made from paths that their files do not have any more: not for who comes after them.
  std::unordered_multiset<uint64_t> moved_numbers_ GUARDED_BY(mutex);
  uint32_t sweep_hand_ GUARDED_BY(mutex) = 0;
  size_t gone_ GUARDED_BY(mutex) = 0;  // nodes, since many_have_gone()
};

}  // namespace netfs::vfs
