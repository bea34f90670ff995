// InodeTable, what is open: handles, and the files that are kept ready.

#include <utility>

#include "base/assert.h"
#include "vfs/inode_id.h"
#include "vfs/inode_table.h"
#include "vfs/limits.h"

namespace netfs::vfs {

fuse::HandleId InodeTable::open_handle(Node& node, OpenMode mode, Graveyard& graveyard) {
  const uint32_t index = handle_records_.allocate();
  NETFS_ASSERT(index < (1U << kIndexBits));
  if (handles_.size() <= index) handles_.resize(index + 1);
  handles_[index] = std::make_unique<Handle>();
  handles_[index]->node = &node;
  if (node.is_live()) handles_[index]->errors_seen = node.open->live->write_errors().serial;
  HandleRecord& record = handle_records_[index];
  record.generation = (record.generation + 1) & kGenerationMax;
  record.node_id = records_[node.index].node_id;
  record.directory = node.directory ? 1 : 0;
  // Never 0, as the epoch is not: that is the handle of mounts that answer OPEN with ENOSYS.
  record.handle_id = make_id(epoch_, record.generation, index);
  NodeRecord& opened = records_[node.index];
  NETFS_ASSERT(opened.opens == 0 || opened.open_mode == static_cast<uint32_t>(mode));
  opened.open_mode = static_cast<uint32_t>(mode);
  ++opened.opens;
  touch_file(node, graveyard);
  return fuse::HandleId(record.handle_id);
}

Handle* InodeTable::handle(fuse::HandleId id) {
  const uint32_t index = index_of(id.value);
  if (id.value == 0 || index >= handle_records_.limit()) return nullptr;
  if (handle_records_[index].handle_id != id.value) return nullptr;
  return handles_[index].get();
}

void InodeTable::rewind(fuse::HandleId id, const Ref<Listing>& listing, Graveyard& graveyard) {
  Handle* open = handle(id);
  if (open == nullptr || !open->listing || !open->node->directory) return;
  open->node->directory->kernel_has_listing = 0;  // its pages may be of both
  graveyard.listings.push_back(std::exchange(open->listing, listing));
}

void InodeTable::close_handle(fuse::HandleId id, Graveyard& graveyard) {
  Handle* open = handle(id);
  if (open == nullptr) return;
  Node& node = *open->node;
  NodeRecord& record = records_[node.index];
  if (open->stream) graveyard.streams.push_back(std::move(open->stream));
  if (open->listing) graveyard.listings.push_back(std::move(open->listing));
  const bool was_writable = open->writable;
  const uint32_t index = index_of(id.value);
  handle_records_[index].handle_id = 0;
  handles_[index].reset();
  handle_records_.free(index);
  NETFS_ASSERT(record.opens > 0);
  if (was_writable) --node.open->writers;
  // While the change that hid it is under way it may yet get its name back, and others may open it.
  if (record.opens == 1 && node.hidden && !node.is_going() && !node.is_opening()) {
    node.hidden = false;
    graveyard.hidden.push_back(path_of(node));
  }
  --record.opens;
  release_live(node, graveyard);
  if (record.opens == 0) {
    record.open_mode = static_cast<uint32_t>(OpenMode::kClosed);
    record.backing_id = 0;
    if (node.superseded && node.open && node.open->file) {
      graveyard.superseded.push_back(node.open->file);
    }
    touch_file(node, graveyard);
  }
  free_if_unused(&node, graveyard);
}

// With the last writer it is a file with a version again; one without a name, or that is losing it,
// lives by its handle.
void InodeTable::release_live(Node& node, Graveyard& graveyard) {
  if (!node.is_live() || node.open->writers > 0) return;
  const bool lives_on = records_[node.index].opens > 0 && (!is_current(node) || node.is_going());
  if (lives_on) return;
  graveyard.files.emplace_back(std::move(node.open->live));
  node.open->live = nullptr;
}

void InodeTable::set_preparing(Node& node, bool preparing, Graveyard& graveyard) {
  node.open_state().preparing = preparing;
  if (!preparing) free_if_unused(&node, graveyard);
}

void InodeTable::leave_idle(Node& node) {
  if (!node.open->is_idle) return;
  idle_files_.erase(node.open->idle);
  node.open->is_idle = false;
}

void InodeTable::keep_file(Node& node, Ref<File> file, Graveyard& graveyard) {
  OpenState& state = node.open_state();
  if (state.file) {
    graveyard.files.push_back(std::move(file));
  } else {
    state.file = std::move(file);
  }
  touch_file(node, graveyard);
}

void InodeTable::touch_file(Node& node, Graveyard& graveyard) {
  if (!node.open) return;
  leave_idle(node);
  if (!node.open->file || records_[node.index].opens > 0) return;
  node.open->idle = idle_files_.insert(idle_files_.end(), &node);
  node.open->is_idle = true;
  while (idle_files_.size() > kIdleFilesMax) {
    Node& oldest = *idle_files_.front();
    leave_idle(oldest);
    graveyard.files.push_back(std::move(oldest.open->file));
    if (oldest.open->stream) graveyard.streams.push_back(std::move(oldest.open->stream));
  }
}

}  // namespace netfs::vfs
