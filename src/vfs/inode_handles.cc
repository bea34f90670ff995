// InodeTable, what is open: handles, and the files that are kept ready.

#include <array>
#include <atomic>
#include <cerrno>
#include <span>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"
#include "fuse/protocol.h"
#include "vfs/inode_id.h"
#include "vfs/inode_table.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

uint32_t checksum_of(uint64_t handle_id, const HandleRecord& record) {
  const std::array<uint64_t, 3> named = {handle_id, record.node_id, record.unique};
  return crc32c(std::as_bytes(std::span(named)));
}

}  // namespace

uint32_t HandleRecord::checksum() const {
  return checksum_of(handle_id, *this);
}

fuse::HandleId InodeTable::open_handle(Node& node, OpenMode mode, Graveyard& graveyard,
                                       uint64_t unique) {
  save(node);
  const uint32_t index = handle_records_.allocate();
  NETFS_ASSERT(index < (1U << kIndexBits));
  if (handles_.size() <= index) handles_.resize(index + 1);
  handles_[index] = std::make_unique<Handle>();
  handles_[index]->node = &node;
  if (node.is_live()) handles_[index]->errors_seen = node.open->live->write_errors().serial;
  HandleRecord& record = handle_records_[index];
  record.generation = (record.generation + 1) & kGenerationMax;
  record.node_id = records_[node.index].node_id;
  record.flags.set(node.directory ? uint32_t{HandleRecord::kDirectory} : 0);
  record.position.set(0);
  record.error.set(0);
  record.unique = unique & ~fuse::proto::kUniqueResend;
  const uint64_t id = make_id(epoch_, record.generation, index);
  record.crc = checksum_of(id, record);
  // Never 0, as the epoch is not: that is the handle of mounts that answer OPEN with ENOSYS.
  NodeRecord& opened = records_[node.index];
  NETFS_ASSERT(opened.opens == 0 || opened.open_mode == static_cast<uint32_t>(mode));
  opened.open_mode = static_cast<uint32_t>(mode);
  ++opened.opens;
  // From here on it is one, also for a process after this one.
  std::atomic_signal_fence(std::memory_order_release);
  record.handle_id = id;
  touch_file(node, graveyard);
  return fuse::HandleId(id);
}

fuse::HandleId InodeTable::opened_before(uint64_t unique) {
  const auto found = opened_before_.find(unique & ~fuse::proto::kUniqueResend);
  if (found == opened_before_.end()) return {};
  const fuse::HandleId id = found->second;
  opened_before_.erase(found);
  return handle(id) == nullptr ? fuse::HandleId() : id;
}

Handle* InodeTable::handle(fuse::HandleId id) {
  const uint32_t index = index_of(id.value);
  if (id.value == 0 || index >= handle_records_.limit()) return nullptr;
  if (handle_records_[index].handle_id != id.value) return nullptr;
  return handles_[index].get();
}

Handle* InodeTable::handle(fuse::HandleId id, fuse::NodeId opened) {
  Handle* open = handle(id);
  return open != nullptr && this->id(*open->node) == opened ? open : nullptr;
}

void InodeTable::set_writable(fuse::HandleId id) {
  handle(id)->writable = true;
  Twice& flags = handle_records_[index_of(id.value)].flags;
  flags.set(flags.get().value_or(0) | HandleRecord::kWritable);
}

void InodeTable::note_position(fuse::HandleId id, const SavedPosition& position) {
  Handle* open = handle(id);
  if (open == nullptr) return;
  open->resume.reset();
  HandleRecord& record = handle_records_[index_of(id.value)];
  const uint32_t now = saved_.put(encode(position));
  const uint32_t before = record.position.get().value_or(0);
  record.position.set(now);
  if (before != 0) saved_.free(before);
}

void InodeTable::read_on(fuse::HandleId id, const Ref<Listing>& listing) {
  Handle* open = handle(id);
  if (open != nullptr && !open->listing) open->listing = listing;
}

void InodeTable::note_lost(fuse::NodeId id, int error, bool by_us) {
  for (uint32_t i = 0; i < handle_records_.limit(); ++i) {
    HandleRecord& record = handle_records_[i];
    const bool is_of_it = id.value == 0 || record.node_id == id.value;
    if (record.handle_id == 0 || !is_of_it || !record.has(HandleRecord::kWritable)) continue;
    record.error.set(static_cast<uint32_t>(error));
    if (by_us) handles_[i]->owes_error = true;
  }
}

int InodeTable::take_lost(fuse::HandleId id) {
  Handle* open = handle(id);
  if (open == nullptr || !std::exchange(open->owes_error, false)) return 0;
  return static_cast<int>(handle_records_[index_of(id.value)].error.get().value_or(EIO));
}

void InodeTable::told(fuse::HandleId id) {
  if (handle(id) != nullptr) handle_records_[index_of(id.value)].error.set(0);
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
  // While the change that hid it is under way it may yet get its name back, and others may open it.
  // Before the handle goes: a process that is killed in between leaves the one, or the other.
  const bool leaves = record.opens == 1 && node.hidden && !node.is_going() && !node.is_opening();
  if (leaves) leave(node, graveyard);
  std::atomic_signal_fence(std::memory_order_release);
  const uint32_t index = index_of(id.value);
  handle_records_[index].handle_id = 0;
  const uint32_t position = handle_records_[index].position.get().value_or(0);
  handle_records_[index].position.set(0);
  if (position != 0) saved_.free(position);
  handles_[index].reset();
  handle_records_.free(index);
  NETFS_ASSERT(record.opens > 0);
  if (was_writable) --node.open->writers;
  --record.opens;
  release_live(node, graveyard);
  if (record.opens == 0) {
    record.open_mode = static_cast<uint32_t>(OpenMode::kClosed);
    record.backing_id.set(0);
    if (node.open && node.open->kept != OpenState::Kept::kNo) {
      note_kept(node, OpenState::Kept::kNo);
      graveyard.kept.emplace_back(record.node_id);
      if (node.open->left) graveyard.descriptors.push_back(std::move(node.open->left));
    }
    if (node.superseded && node.open && node.open->file) {
      graveyard.superseded.push_back(node.open->file);
    }
    touch_file(node, graveyard);
  }
  free_if_unused(&node, graveyard);
}

void InodeTable::note_kept(Node& node, OpenState::Kept how) {
  const OpenState::Kept before = std::exchange(node.open_state().kept, how);
  if (before == OpenState::Kept::kNo && how != before) ++kept_files_;
  if (before != OpenState::Kept::kNo && how == OpenState::Kept::kNo) --kept_files_;
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
