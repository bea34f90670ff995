// What a worker does for an open that memory could not decide: gets the file from the library, and
// if it is sealed and cold registers it with the kernel.  One worker a node at a time; all opens of
// the node that come meanwhile get what it found.

#include <cerrno>

#include "telemetry/log.h"
#include "vfs/change_of_names.h"
#include "vfs/kept_files.h"

namespace netfs::vfs {

// A file that is losing a name is opened once that is done: what keeps it alive for those who have
// it open has been settled by then.
bool FileSystem::wait_while_going(fuse::NodeId id, const Ref<Pending>& pending) {
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    if (node == nullptr || !node->is_going()) return false;
  }
  after_name_changes([this, id, pending] {
    answer_open(id, Prepared::kNothing, *pending);
    if (!pending->answered()) prepare_open(id, pending);
  });
  return true;
}

void FileSystem::prepare_open(fuse::NodeId id, Ref<Pending> pending) {
  if (wait_while_going(id, pending)) return;
  if (!open_flights_.join(std::to_string(id.value), std::move(pending))) {
    counters_.coalesced.add();
    return;
  }
  {
    Graveyard none;  // a node is not freed by being prepared
    sync::MutexLock lock(table_.mutex);
    if (Node* node = table_.find(id)) table_.set_preparing(*node, true, none);
  }
  on_worker([this, id] { prepare_on_worker(id); });
}

void FileSystem::prepare_on_worker(fuse::NodeId id) {
  const Result<Prepared> prepared = prepare(id);
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    if (Node* node = table_.find(id)) table_.set_preparing(*node, false, graveyard);
  }
  bury(std::move(graveyard));
  for (const Ref<Pending>& pending : open_flights_.land(std::to_string(id.value))) {
    if (!prepared.ok()) {
      pending->error(prepared.code());
      continue;
    }
    answer_open(id, prepared.value(), *pending);
    if (!pending->answered()) prepare_open(id, pending);  // it is losing a name by now
  }
  // Each open holds its own use of the id by now; while there is none the id is remembered.
  if (prepared.ok() && prepared.value() == Prepared::kHandOut) backing_->release(id);
}

// A file that was changed here in a way that did not show what became of it is looked at, so that
// it is read as what it is now.
Result<void> FileSystem::see_own_change(fuse::NodeId id) {
  Name name;
  bool hidden = false;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    const bool asked = node != nullptr && node->unseen && !file_to_read(*node);
    if (!asked || !(node->listed || node->hidden)) return {};
    hidden = node->hidden;
    name = {
        .parent = table_.id(*node->parent), .name = node->name, .path = InodeTable::path_of(*node)};
  }
  if (hidden) return ChangeOfNames::see_hidden(*this, id, name.path, deadline());
  const Result<void> seen = look(name, deadline());
  // Gone: then it is read by what is held of it.
  if (seen.is_error(ENOENT) || seen.is_error(ESTALE)) return {};
  return seen;
}

// The file of a node, ready to be read; of an old version too.
Result<Ref<File>> FileSystem::ready_file(fuse::NodeId id) {
  if (writer_ != nullptr) {
    TRY(see_own_change(id));
    TRY(KeptFiles::revive(*this, id, deadline()));
  }
  FileVersion version;
  Validator validator;
  uint64_t changed_in = 0;
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node == nullptr) return Error(ESTALE, "vfs.open");
    changed_in = node->changed_in();
    if (node->attributes.type != FileType::kRegular) return Error(EINVAL, "vfs.open");
    // One that was given up by a change of ours, although the node is what it was.
    const bool given_up = node->open && node->open->file && InodeTable::is_current(*node) &&
                          node->open->file->superseded();
    if (given_up) table_.detach_file(*node, graveyard);
    if (Ref<File> there = file_to_read(*node)) return there;
    // It never had one: it lived by its handle, and that of its directory is another's.
    if (node->name.empty()) return Error(ESTALE, "vfs.open");
    version.path = InodeTable::path_of(*node);
    version.identity = node->identity.empty() ? version.path : node->identity;
    validator = node->validator;
    version.validator = validator;
    version.size_bytes = node->attributes.size_bytes;
  }
  Ref<File> file = TRY(library_.open(std::move(version)));
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    // What was changed here meanwhile, or was seen to be changed by others, has another version by
    // now: this one serves this caller only.
    const bool same = node != nullptr && node->changed_in() == changed_in;
    if (same && node->validator == validator) {
      table_.keep_file(*node, file, graveyard);
    }
  }
  bury(std::move(graveyard));
  return file;
}

Result<Prepared> FileSystem::prepare(fuse::NodeId id) {
  const Ref<File> file = TRY(ready_file(id));
  const auto serve = [this](NotHandedOut why) {
    counters_.not_handed_out[static_cast<size_t>(why)].add();
    return Prepared::kDaemon;
  };
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node == nullptr || !InodeTable::is_current(*node)) return Error(ESTALE, "vfs.open");
    // Open through us: what is open stays so.
    if (table_.record(*node).open_mode == static_cast<uint32_t>(OpenMode::kDaemon)) {
      return Prepared::kDaemon;
    }
    if (!passthrough_) return serve(NotHandedOut::kNotNegotiated);
    if (is_hot(*node)) return serve(NotHandedOut::kHot);
    if (node->open_state().hand_out_failed) return serve(NotHandedOut::kRefused);
  }
  if (!file->sealed()) {
    file->fill_holes();  // the next open may find it sealed
    return serve(NotHandedOut::kNotSealed);
  }
  const Result<Prepared> handed = hand_out(id, file);
  if (handed.ok()) return handed;
  // The kernel will not have this file, or no file at all: it is served from here.
  if (handed.is_error(EBUSY)) return serve(NotHandedOut::kNotSealed);
  telemetry::log_warn("vfs", "the kernel does not take a file for passthrough: {}",
                      handed.error().message());
  if (handed.is_error(EPERM) || handed.is_error(ENOTTY) || handed.is_error(EOPNOTSUPP)) {
    passthrough_ = false;
  }
  sync::MutexLock lock(table_.mutex);
  if (Node* node = table_.find(id)) node->open_state().hand_out_failed = true;
  return serve(NotHandedOut::kRefused);
}

// Registers the file and holds one use of its id.
Result<Prepared> FileSystem::hand_out(fuse::NodeId id, const Ref<File>& file) {
  const UniqueFd fd = TRY(file->hand_out());
  TRY(backing_->acquire(id, fd.get()));
  bool known = false;
  {
    sync::MutexLock lock(table_.mutex);
    if (Node* node = table_.find(id)) {
      node->open_state().was_handed_out = true;
      known = true;
    }
  }
  if (known) return Prepared::kHandOut;
  backing_->release(id);
  backing_->forget(id);
  return Error(ESTALE, "vfs.open");
}

}  // namespace netfs::vfs
