// Extended attributes, of origins that have them, on writable mounts.  POSIX ACLs only where the
// kernel checks permissions by them: kept but not obeyed they would promise what is not so.

#include <cerrno>
#include <cstring>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <utility>

#include "vfs/by_path.h"
#include "vfs/intent.h"
#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

bool is_acl(std::string_view name) {
  return name.starts_with("system.posix_acl_");
}

// Whose permissions the kernel has checked: those of all else in `system.` it leaves to us.
bool is_checked(std::string_view name) {
  return name.starts_with("user.") || name.starts_with("trusted.") ||
         name.starts_with("security.") || is_acl(name);
}

void send_text(fuse::Reply& reply, const std::string& text, uint32_t room) {
  if (room == 0) return reply.value(fuse::xattr_size_out(static_cast<uint32_t>(text.size())));
  if (text.size() > room) return reply.error(ERANGE);
  reply.data(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace

bool FileSystem::shows_xattr(std::string_view name) const {
  return is_checked(name) && (acls_ || !is_acl(name));
}

// The set-group-ID bit goes: an ACL was set by somebody who is not of the file's group.
void FileSystem::kill_sgid(fuse::NodeId id, Deadline until) {
  std::optional<uint32_t> permissions;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    if (node != nullptr && (node->attributes.permissions & S_ISGID) != 0) {
      permissions = node->attributes.permissions & ~static_cast<uint32_t>(S_ISGID);
    }
  }
  if (!permissions) return;
  Result<Witnessed> set = set_now(id, {.permissions = permissions}, until);
  if (set.ok()) take_change(id, std::move(set).value(), InodeTable::Changed::kAttributes);
}

void FileSystem::get_xattr(const fuse::Request& request, fuse::Reply reply) {
  // The kernel remembers ENOSYS and asks no more.
  if (writer_ == nullptr || !writer_->capabilities().extended_attributes) {
    return refuse_unsupported(request, std::move(reply));
  }
  const auto& wanted = std::get<fuse::GetxattrRequest>(request.body);
  if (!shows_xattr(wanted.name)) return reply.error(EOPNOTSUPP);
  Result<FileRef> file = file_ref(request.header.node);
  if (!file.ok()) return reply.error(file.code());
  change_on_worker(std::move(reply),
                   [this, at = std::move(file).value(), name = std::string(wanted.name),
                    room = wanted.size_bytes](Pending& pending, Deadline until) {
                     const Result<std::string> value = writer_->get_xattr(at, name, until);
                     if (!value.ok()) return pending.error(value.code());
                     pending.answer([&](fuse::Reply& to) { send_text(to, value.value(), room); });
                   });
}

void FileSystem::list_xattrs(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr || !writer_->capabilities().extended_attributes) {
    return refuse_unsupported(request, std::move(reply));
  }
  const uint32_t room = std::get<fuse::ListxattrRequest>(request.body).size_bytes;
  Result<FileRef> file = file_ref(request.header.node);
  if (!file.ok()) return reply.error(file.code());
  change_on_worker(std::move(reply),
                   [this, room, at = std::move(file).value()](Pending& pending, Deadline until) {
                     const Result<std::vector<std::string>> names = writer_->list_xattrs(at, until);
                     if (!names.ok()) return pending.error(names.code());
                     std::string text;
                     for (const std::string& name : names.value()) {
                       if (!shows_xattr(name)) continue;
                       text += name;
                       text += '\0';
                     }
                     pending.answer([&](fuse::Reply& to) { send_text(to, text, room); });
                   });
}

void FileSystem::change_xattr(const fuse::Request& request, fuse::Reply reply) {
  if (writer_ == nullptr) return reply.error(EROFS);
  if (Intent::answered_before(*this, request, reply)) return;
  if (!writer_->capabilities().extended_attributes) {
    return refuse_unsupported(request, std::move(reply));
  }
  const auto* set = std::get_if<fuse::SetxattrRequest>(&request.body);
  const std::string name(set != nullptr ? set->name
                                        : std::get<fuse::RemovexattrRequest>(request.body).name);
  if (!shows_xattr(name)) return reply.error(EOPNOTSUPP);
  if (set != nullptr && set->value.size() > kXattrBytesMax) return reply.error(E2BIG);
  std::optional<std::string> value;
  if (set != nullptr) {
    value.emplace(reinterpret_cast<const char*>(set->value.data()), set->value.size());
  }
  const uint32_t flags = set != nullptr ? set->flags : 0;
  const bool kills_sgid = set != nullptr && set->kill_sgid;
  const fuse::NodeId id = request.header.node;
  Result<FileRef> file = file_ref(id);
  if (!file.ok()) return reply.error(file.code());
  Settled then = ByPath::later(
      *this, {{id}}, std::move(reply),
      [this, id, name, flags, kills_sgid, value = std::move(value), at = std::move(file).value()](
          const Places& places, Pending& pending, Deadline until) mutable {
        if (!places[0].path.empty()) at.path = places[0].path;
        // Any other value may be set twice.
        std::optional<Intent> intent;
        if (!value || (flags & XATTR_CREATE) != 0) intent.emplace(*this, pending, at, name, until);
        const bool before = intent && intent->set_before(at, name, value, until);
        const KnownVersion known = known_of(id);
        Result<Witnessed> changed = Witnessed();
        if (!before) {
          changed = value ? writer_->set_xattr(at, name, *value, flags, known.validator, until)
                          : writer_->remove_xattr(at, name, known.validator, until);
        }
        const bool late = changed.is_error(EEXIST) || changed.is_error(ENODATA);
        if (late && intent && intent->set_before(at, name, value, until)) changed = Witnessed();
        if (!changed.ok()) return answer_change(pending, changed.code());
        changed.value().keeps = known.keeps;
        take_change(id, std::move(changed).value(), InodeTable::Changed::kAttributes);
        if (kills_sgid) kill_sgid(id, until);
        answer_change(pending, 0);
      });
  after_landing(id, std::move(then));
}

}  // namespace netfs::vfs
