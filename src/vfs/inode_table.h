#pragma once
// InodeTable: every node this mount knows, by nodeid and by name; and the open handles.
//
// A nodeid is (epoch, generation, index of the record) in 16, 22 and 26 bits: it is never used
// again, and one of an earlier process is not found, which the caller answers with ESTALE.  1 is
// the root.  Files and streams that fall out of the table are moved to a Graveyard, which its owner
// destroys after the lock is released: closing a file may be I/O.
//
// Thread-safety: every function needs `mutex`; nodes are touched under it only.

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "fuse/wire.h"
#include "netfs/attributes.h"
#include "sync/mutex.h"
#include "vfs/arena.h"
#include "vfs/inode_number.h"
#include "vfs/lock_classes.h"
#include "vfs/node.h"
#include "vfs/options.h"

namespace netfs::vfs {

// What is destroyed after the lock.
struct Graveyard {
  std::vector<Ref<File>> files;
  std::vector<Ref<File>> superseded;  // FileSystem tells them so first
  std::vector<std::unique_ptr<ReadStream>> streams;
  std::vector<Ref<Listing>> listings;
};

struct HandleRecord {
  uint64_t handle_id;  // 0: free
  uint64_t node_id;
  uint32_t generation;
  uint32_t directory;
};

// The heap part of a handle.
struct Handle {
  Node* node = nullptr;
  Ref<File> file;  // null when the kernel reads by itself
  std::unique_ptr<ReadStream> stream;
  Ref<Listing> listing;  // of a directory
};

class InodeTable {
 public:
  InodeTable(std::string_view volume_key, const NodeInfo& root, uint16_t epoch, MonoTime now,
             Counters& counters);
  ~InodeTable();
  InodeTable(const InodeTable&) = delete;
  InodeTable& operator=(const InodeTable&) = delete;

  sync::Mutex mutex{kInodeTableLock};

  // Null when the id is not one of ours, alive.
  Node* find(fuse::NodeId id) REQUIRES(mutex);
  Node& root() REQUIRES(mutex) { return *nodes_[0]; }
  NodeRecord& record(const Node& node) REQUIRES(mutex) { return records_[node.index]; }
  fuse::NodeId id(const Node& node) REQUIRES(mutex) {
    return fuse::NodeId(records_[node.index].node_id);
  }
  static std::string path_of(const Node& node);

  // The current version of a name, or null.
  Node* child(Node& directory, std::string_view name) REQUIRES(mutex);

  // The origin shows `name` so now: the node of that version, new if it is a new one.
  Node& adopt(Node& directory, std::string_view name, NodeInfo info, MonoTime now,
              Graveyard& graveyard) REQUIRES(mutex);
  // The same for a node that was looked at by path; false when its version is another now, and the
  // name has another node.
  bool confirm(Node& node, NodeInfo info, MonoTime now, Graveyard& graveyard) REQUIRES(mutex);
  // The origin has no such name.
  void set_absent(Node& directory, std::string_view name, MonoTime now, Graveyard& graveyard)
      REQUIRES(mutex);

  void add_lookup(Node& node) REQUIRES(mutex) { ++records_[node.index].lookups; }
  void forget(fuse::NodeId id, uint64_t lookups, Graveyard& graveyard) REQUIRES(mutex);

  // A handle of an open node; counts as open.
  fuse::HandleId open_handle(Node& node, bool directory) REQUIRES(mutex);
  Handle* handle(fuse::HandleId id) REQUIRES(mutex);
  void close_handle(fuse::HandleId id, Graveyard& graveyard) REQUIRES(mutex);

  // A node that is being opened stays; once it no longer is, it may go.
  void set_opening(Node& node, bool opening, Graveyard& graveyard) REQUIRES(mutex) {
    node.opening = opening;
    if (!opening) free_if_unused(&node, graveyard);
  }
  // Takes back a lookup that the kernel was not told of.
  void drop_lookup(Node& node) REQUIRES(mutex) { --records_[node.index].lookups; }

  // Remembers that `node.file` is ready and unused; the oldest such go.
  void keep_idle_file(Node& node, Graveyard& graveyard) REQUIRES(mutex);

  // Lets go of nodes that nobody needs while there are too many.
  void sweep(Graveyard& graveyard) REQUIRES(mutex);

  [[nodiscard]] size_t node_count() REQUIRES(mutex) { return records_.in_use(); }
  [[nodiscard]] size_t handle_count() REQUIRES(mutex) { return handle_records_.in_use(); }
  [[nodiscard]] uint64_t ino_collisions() REQUIRES(mutex) { return numbers_.collisions(); }

 private:
  Node& create(Node* parent, std::string_view name, NodeInfo info, MonoTime now) REQUIRES(mutex);
  void unlist(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  void unlist_children(Node& node, Graveyard& graveyard) REQUIRES(mutex);
  void free_if_unused(Node* node, Graveyard& graveyard) REQUIRES(mutex);
  void take_update(Node& node, NodeInfo info, MonoTime now) REQUIRES(mutex);
  static bool same_version(const Node& node, const NodeInfo& info);

  const uint16_t epoch_;
  Counters& counters_;
  InodeNumbers numbers_ GUARDED_BY(mutex);
  Arena<NodeRecord> records_ GUARDED_BY(mutex);
  std::vector<std::unique_ptr<Node>> nodes_ GUARDED_BY(mutex);  // by index of the record
  Arena<HandleRecord> handle_records_ GUARDED_BY(mutex);
  std::vector<std::unique_ptr<Handle>> handles_ GUARDED_BY(mutex);
  std::deque<uint64_t> idle_files_ GUARDED_BY(mutex);  // nodeids, oldest first; some outdated
  uint32_t sweep_hand_ GUARDED_BY(mutex) = 0;
};

}  // namespace netfs::vfs
