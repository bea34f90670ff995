// OPEN for writing, or with O_TRUNC.  It always asks the origin, which is the one to say whether
// this may be written, and which version it is.

#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <utility>

#include "vfs/change_of_names.h"
#include "vfs/kept_files.h"
#include "vfs/limits.h"
#include "vfs/locking.h"
#include "vfs/opening.h"

namespace netfs::vfs {

std::unique_ptr<FileSystem::Opening> FileSystem::Opening::begin(FileSystem& of, fuse::NodeId id) {
  sync::MutexLock lock(of.table_.mutex);
  Node* node = of.table_.find(id);
  if (node != nullptr && node->is_going()) return nullptr;
  if (node != nullptr) ++node->seldom_part().opening;
  return std::make_unique<Opening>(of, node == nullptr ? fuse::NodeId() : id);
}

FileSystem::Opening::~Opening() {
  if (id_.value == 0) return;
  Graveyard graveyard;
  {
    sync::MutexLock lock(of_.table_.mutex);
    if (Node* node = of_.table_.find(id_)) of_.table_.opening_ended(*node, graveyard);
  }
  of_.bury(std::move(graveyard));
}

void FileSystem::open_for_writing(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  counters_.opens.add();
  const auto& wanted = std::get<fuse::OpenRequest>(request.body);
  const OpenHow how{
      .flags = wanted.flags, .kill_set_ids = wanted.kill_suidgid, .unique = request.header.unique};
  begin_open(request.header.node, how, pending_.add(std::move(reply), Interrupts::kIgnored));
}

void FileSystem::begin_open(fuse::NodeId id, OpenHow how, Ref<Pending> pending) {
  std::unique_ptr<Opening> opening;
  if (!writer_->capabilities().files_outlive_names) {
    opening = Opening::begin(*this, id);
    if (opening == nullptr) {
      return after_name_changes([this, id, how, pending] { begin_open(id, how, pending); });
    }
  }
  after_settling(id, [this, id, how, pending, opening = std::move(opening)]() mutable {
    on_worker([this, id, how, pending, until = deadline(), opening = std::move(opening)]() mutable {
      sync::ContextScope scope(pending->context());
      const Result<fuse::Opened> opened = open_for_writing_now(id, how, until);
      if (!opened.ok()) return pending->error(opened.code());
      pending->answer([&](fuse::Reply& to) { to.value(fuse::open_out(opened.value())); });
    });
  });
}

// The node's file as it is open for writing; opened at the origin if it is not.
Result<Ref<WritableFile>> FileSystem::live_file(fuse::NodeId id, Deadline until) {
  for (int attempt = 0;; ++attempt) {
    bool moved = false;
    Result<Ref<WritableFile>> file = open_live_file(id, until, moved);
    if (!moved || attempt >= kMovedLooksMax || until.passed(clock_.now())) return file;
  }
}

// Whether a change of names, which the table may not know of yet, took the path from a node.
bool FileSystem::has_moved(fuse::NodeId id, const std::string& path) {
  if (name_changes_.any()) return true;
  sync::MutexLock lock(table_.mutex);
  const Node* node = table_.find(id);
  const bool there = node != nullptr && (InodeTable::is_current(*node) || node->hidden);
  return there && InodeTable::path_of(*node) != path;
}

Result<Ref<WritableFile>> FileSystem::open_live_file(fuse::NodeId id, Deadline until, bool& moved) {
  std::string path;
  Ref<File> before;
  Validator known;
  Place place;
  uint64_t began_in = 0;
  TRY(KeptFiles::revive(*this, id, until));
  {
    sync::MutexLock lock(table_.mutex);
    began_in = table_.serial();
    const Node* node = table_.find(id);
    if (node == nullptr) return Error(ESTALE, "vfs.open");
    if (node->attributes.type != FileType::kRegular) {
      const bool directory = node->attributes.type == FileType::kDirectory;
      return Error(directory ? EISDIR : EINVAL, "vfs.open");
    }
    if (node->is_live() && node->open->writers > 0) return node->open->live;
    if (!InodeTable::is_current(*node) && !node->hidden) return Error(ESTALE, "vfs.open");
    path = InodeTable::path_of(*node);
    known = node->validator;
    if (node->open) before = node->open->file;
    place = {.parent = table_.id(*node->parent), .name = node->name, .path = path};
  }
  Result<TreeWriter::Opened> opened = writer_->open(path, std::move(before), until);
  note_outcome(opened.code());
  moved = opened.is_error(ENOENT) && has_moved(id, path);
  if (moved) return Error(ESTALE, "vfs.open");
  if (opened.is_error(ENOENT)) {
    Graveyard graveyard;
    {
      sync::MutexLock lock(table_.mutex);
      Node* parent = table_.find(place.parent);
      const Node* node = table_.find(id);
      // Another file may have got the name meanwhile.
      if (parent != nullptr && InodeTable::is_current(*parent) && node != nullptr &&
          table_.child(*parent, place.name) == node) {
        table_.set_absent(*parent, place.name, clock_.now(), graveyard);
      }
      node = table_.find(id);
      moved = node != nullptr && KeptFiles::is_left(*node);
    }
    bury(std::move(graveyard));
    return Error(ESTALE, "vfs.open");
  }
  if (!opened.ok()) return std::move(opened).error();
  const bool is_known = opened.value().info.validator == known ||
                        ChangeOfNames::take_seen(*this, id, path, opened.value().info, began_in);
  if (is_known) return std::move(opened).value().file;
  // Names of ours that come and go make a file another version where change times count.
  moved = origin_.capabilities().identity && name_changes_.any();
  if (moved) return Error(ESTALE, "vfs.open");
  // The origin has another version: a stale handle makes the kernel look the name up again.
  Graveyard graveyard;
  bool same_node = false;
  {
    sync::MutexLock lock(table_.mutex);
    Node* parent = table_.find(place.parent);
    moved = parent != nullptr && was_changed_since(*parent, place.name, began_in);
    if (moved) return Error(ESTALE, "vfs.open");
    if (parent != nullptr && InodeTable::is_current(*parent)) {
      Node& node = table_.adopt(*parent, place.name, opened.value().info, clock_.now(), graveyard);
      same_node = table_.id(node) == id;
    }
    const Node* gone = table_.find(id);
    moved = !same_node && gone != nullptr && KeptFiles::is_left(*gone);
  }
  bury(std::move(graveyard));
  if (!same_node) return Error(ESTALE, "vfs.open");
  return std::move(opened).value().file;
}

Result<fuse::Opened> FileSystem::open_handle(fuse::NodeId id, Ref<WritableFile> live, OpenHow how) {
  const bool writes = (how.flags & O_ACCMODE) != O_RDONLY;
  fuse::Opened opened;
  std::vector<InodeTable::Moved> moved;
  Graveyard graveyard;
  bool loses_name = false;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node == nullptr) return Error(ESTALE, "vfs.open");
    // Who takes its name may have seen before this that nobody has it open.
    loses_name = node->is_going() || !(InodeTable::is_current(*node) || node->hidden);
    opened.handle = table_.open_handle(*node, OpenMode::kDaemon, graveyard, how.unique);
    opened.keep_cache = node->keep_pages(hides_changes(*node));
    opened.no_flush = !writes && (!locking_ || !locking_->on());
    if (writes) {
      OpenState& state = node->open_state();
      // Another open may have come first.  What is held without a name is not open for writing.
      if (state.live && state.writers > 0) {
        graveyard.files.emplace_back(std::move(live));
      } else {
        if (state.live) graveyard.files.emplace_back(std::move(state.live));
        state.live = std::move(live);
        watch_landings(id, *state.live);
        // It may have moved since it was opened at the origin.
        if (InodeTable::is_current(*node) || node->hidden) {
          moved.push_back({state.live, InodeTable::path_of(*node)});
        }
      }
      ++state.writers;
      table_.set_writable(opened.handle);
      // Of a file that was there before, what has failed until now is others' to hear.
      table_.handle(opened.handle)->errors_seen = state.live->write_errors().serial;
    }
  }
  bury(std::move(graveyard));
  tell_moved(moved);
  if (loses_name) KeptFiles::keep(*this, id);
  return opened;
}

Result<fuse::Opened> FileSystem::open_for_writing_now(fuse::NodeId id, OpenHow how,
                                                      Deadline until) {
  const bool truncates = (how.flags & O_TRUNC) != 0;
  if (truncates && how.kill_set_ids) {
    if (const std::optional<uint32_t> permissions = stripped_permissions(id)) {
      const Result<Witnessed> set = set_now(id, {.permissions = permissions}, until);
      if (!set.ok()) return set.error();
    }
  }
  Ref<WritableFile> live = TRY(live_file(id, until));
  if (truncates) {
    const AttributeChange to_nothing{.size_bytes = 0};
    // It is not live yet, and a look must not take what we make of it for another file.
    take_change(id, {}, InodeTable::Changed::kBytes);
    Result<Witnessed> cut = live->set_attributes(to_nothing, until);
    if (!cut.ok()) return std::move(cut).error();
    take_change(id, std::move(cut).value(), InodeTable::Changed::kBytes);
    take_asked(id, to_nothing);
  }
  return open_handle(id, std::move(live), how);
}

}  // namespace netfs::vfs
