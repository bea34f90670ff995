// RENAME and RENAME2.  A node keeps its number under its new name; what had that name goes, or
// lives on while it is open (remove.cc).

#include <cerrno>
#include <linux/fs.h>
#include <utility>

#include "vfs/by_path.h"
#include "vfs/change_of_names.h"
#include "vfs/intent.h"

namespace netfs::vfs {

namespace {

std::optional<RenameHow> rename_how(uint32_t flags) {
  switch (flags) {
    case 0:
      return RenameHow::kReplace;
    case RENAME_NOREPLACE:
      return RenameHow::kNoReplace;
    case RENAME_EXCHANGE:
      return RenameHow::kExchange;
    case RENAME_WHITEOUT:
      return RenameHow::kReplaceWithWhiteout;
    case RENAME_WHITEOUT | RENAME_NOREPLACE:
      return RenameHow::kNoReplaceWithWhiteout;
    default:
      return {};
  }
}

bool replaces(RenameHow how) {
  return how == RenameHow::kReplace || how == RenameHow::kReplaceWithWhiteout;
}

bool leaves_whiteout(RenameHow how) {
  return how == RenameHow::kReplaceWithWhiteout || how == RenameHow::kNoReplaceWithWhiteout;
}

}  // namespace

Result<void> FileSystem::rename_now(const Place& from, const Place& to, RenameHow how,
                                    const Intent& intent, Deadline until) {
  ChangeOfNames change(*this);
  Kept kept;
  const bool before = intent.renamed_before(from.path, to.path, until);
  if (replaces(how) && !before) {
    Result<Kept> keeping = change.keep_open_file(to, Losing::kToAnother, until);
    // Others have removed what had the name: then nothing loses it.
    if (!keeping.ok() && !keeping.is_error(ENOENT)) return std::move(keeping).error();
    if (keeping.ok()) kept = std::move(keeping).value();
  }
  if (!before) {
    const bool keeps = kept.by_replacing && how == RenameHow::kReplace;
    const Result<bool> replaced =
        keeps ? writer_->replace(from.path, to.path, kept.path, until) : Result<bool>(false);
    const Result<void> renamed =
        !replaced.ok() ? replaced.error()
        : keeps        ? Result<void>()
                       : writer_->rename(from.path, to.path, how, scope_of_rename(from, to), until);
    note_outcome(renamed.code());
    const bool late = renamed.is_error(ENOENT) || renamed.is_error(EEXIST);
    if (!renamed.ok() && !(late && intent.renamed_before(from.path, to.path, until))) {
      if (renamed.is_error(EEXIST)) ByPath::is_taken(*this, to);
      change.take_back(to, kept);
      return renamed;
    }
    // Others have removed what it was to replace; or a process before this one has done it.
    if (kept.by_replacing && !(replaced.ok() && replaced.value())) {
      change.set_hiding("", false);
      kept = Kept();
    }
  }
  if (kept.linked || kept.by_replacing) change.take_hidden(kept.path);
  if (!intent.table_has_renamed(from, to)) {
    take_renamed(from, to, how, until, kept.by_other_name ? change.going() : fuse::NodeId());
  }
  return {};
}

// The origin has done it: so does the table.  `by_other_name`: who lost a name and lives by
// another.
void FileSystem::take_renamed(const Place& from, const Place& to, RenameHow how, Deadline until,
                              fuse::NodeId by_other_name) {
  // Where change times count the file is another version by its new name.
  Result<NodeInfo> info = Error(ENOENT, "vfs.rename");
  uint64_t began_in = 0;
  {
    sync::MutexLock lock(table_.mutex);
    began_in = table_.serial();
  }
  if (origin_.capabilities().identity) info = origin_.stat(to.path, until);
  std::vector<InodeTable::Moved> moved;
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    Node* source = table_.find(from.parent);
    Node* target = table_.find(to.parent);
    const bool known = source != nullptr && target != nullptr && source->directory &&
                       target->directory && InodeTable::is_current(*source) &&
                       InodeTable::is_current(*target);
    if (known) {
      const Node* file = table_.child(*source, from.name);
      // What is written meanwhile may be in what was seen, or not.
      const bool overtaken = file != nullptr && (file->is_dirty() || file->known_in() > began_in);
      moved = how == RenameHow::kExchange
                  ? table_.exchange(*source, from.name, *target, to.name, graveyard)
                  : table_.rename(*source, from.name, *target, to.name, clock_.now(), graveyard);
      Node* node = table_.child(*target, to.name);
      if (node != nullptr && info.ok() && !overtaken &&
          InodeTable::same_file(*node, info.value())) {
        table_.take_own(*node, std::move(info).value(), InodeTable::Changed::kAttributes,
                        clock_.now(), graveyard);
      } else if (node != nullptr && origin_.capabilities().identity) {
        table_.take_unknown(*node, InodeTable::Changed::kAttributes, graveyard);
      }
      Node* other = how == RenameHow::kExchange ? table_.child(*source, from.name) : nullptr;
      if (other != nullptr)
        table_.take_unknown(*other, InodeTable::Changed::kAttributes, graveyard);
    }
    if (by_other_name.value != 0) table_.add_where_it_is_now(by_other_name, moved);
    // What is there now that is not known here.
    if (!known && target != nullptr && target->directory) target->directory->whole_since.reset();
    const bool old_name_stays = !known || leaves_whiteout(how);
    if (old_name_stays && source != nullptr && source->directory) {
      source->directory->whole_since.reset();
    }
  }
  bury(std::move(graveyard));
  tell_moved(moved);
}

// What the cache has to forget: what lies beneath as well, unless both are known to be files.
ForgetScope FileSystem::scope_of_rename(const Place& from, const Place& to) {
  sync::MutexLock lock(table_.mutex);
  const auto may_be_directory = [&](const Place& place, bool if_unknown) REQUIRES(table_.mutex) {
    Node* parent = table_.find(place.parent);
    const Node* node = parent == nullptr ? nullptr : table_.child(*parent, place.name);
    if (node == nullptr) return if_unknown;
    return node->attributes.type == FileType::kDirectory;
  };
  // A directory does not take the place of a file, nor the other way round.
  return may_be_directory(from, true) || may_be_directory(to, false) ? ForgetScope::kTree
                                                                     : ForgetScope::kFile;
}

void FileSystem::rename(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  if (Intent::answered_before(*this, request, reply)) return;
  const auto& wanted = std::get<fuse::RenameRequest>(request.body);
  const std::optional<RenameHow> how = rename_how(wanted.flags);
  if (!how) return reply.error(EINVAL);
  ByPath::change(
      *this,
      {{request.header.node, std::string(wanted.name)},
       {wanted.new_parent, std::string(wanted.new_name)}},
      std::move(reply),
      [this, how = *how](const Places& at, Pending& pending, Deadline until) {
        const Intent intent(*this, pending, at[0], at[1], how, until);
        answer_change(pending, rename_now(at[0], at[1], how, intent, until).code());
      },
      ByPath::Moves::kTheFirstToTheSecond);
}

}  // namespace netfs::vfs
