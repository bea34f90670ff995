// A change that is asked again: the kernel does not know whether the process before this one made
// it.  What stood at its names is recorded before the origin is asked (intents.h), and what stands
// there now tells: a change that was answered is answered the same once more, one that was made is
// not made again, and one without a record was never begun.

#include "vfs/intent.h"

#include <cerrno>
#include <sys/stat.h>
#include <utility>

#include "vfs/change_of_names.h"

namespace netfs::vfs {

namespace {

// A name that was looked for so lately is believed to be as it was seen: the kernel looks for a
// name before it asks for a change of it.
constexpr Duration kJustLooked = std::chrono::seconds(1);

bool is_same_identity(const std::string& one, const std::string& other) {
  return !one.empty() && one == other;
}

bool was_there(const SavedNode& was) {
  return (was.flags & SavedNode::kListed) != 0;
}

// As opposed to: nobody knows.
bool was_absent(const SavedNode& was) {
  return (was.flags & (SavedNode::kListed | SavedNode::kUnknown)) == 0;
}

// As far as the origin tells one thing from another: where it has no identities, by type.
bool is_same_thing(const SavedNode& was, const Result<NodeInfo>& now) {
  if (!was_there(was) || !now.ok()) return false;
  if (was.attributes.type != now.value().attributes.type) return false;
  const bool told = !was.identity.empty() && !now.value().identity.empty();
  return !told || was.identity == now.value().identity;
}

void take_look(SavedNode& seen, const Node& node, fuse::NodeId id) {
  seen.flags = SavedNode::kListed;
  seen.node_id = id.value;
  seen.attributes = node.attributes;
  seen.validator = node.validator;
  seen.identity = node.identity;
}

}  // namespace

bool FileSystem::Intent::find(uint64_t unique, Deadline until) {
  if ((unique & fuse::proto::kUniqueResend) == 0) return false;
  std::optional<Intents::Left> left = of_.intents_.left(unique);
  if (!left) return false;
  finish_hiding(of_, until);  // if the origin could not be reached before
  of_.intents_.set_under_way(unique, true);
  again_ = true;
  before_ = std::move(left->before);
  return true;
}

FileSystem::Intent::Intent(FileSystem& of, const Pending& pending, const Place& at, Deadline until)
    : of_(of) {
  if (find(pending.unique(), until)) return;
  before_.first = seen_at(at, until);
  of_.intents_.begin(pending.unique(), before_);
}

FileSystem::Intent::Intent(FileSystem& of, const Pending& pending, const Place& at,
                           fuse::NodeId file, Deadline until)
    : of_(of) {
  if (find(pending.unique(), until)) return;
  before_.first = seen_at(at, until);
  before_.second = seen_of(file);
  of_.intents_.begin(pending.unique(), before_);
}

FileSystem::Intent::Intent(FileSystem& of, const Pending& pending, const Place& from,
                           const Place& to, RenameHow how, Deadline until)
    : of_(of) {
  if (find(pending.unique(), until)) return;
  before_.first = seen_at(from, until);
  before_.second = seen_at(to, until);
  before_.how = static_cast<uint32_t>(how) + 1;
  of_.intents_.begin(pending.unique(), before_);
}

FileSystem::Intent::Intent(FileSystem& of, const Pending& pending, const FileRef& file,
                           const std::string& name, Deadline until)
    : of_(of) {
  if (find(pending.unique(), until)) return;
  const Result<std::string> is = of_.writer_->get_xattr(file, name, until);
  if (is.ok()) before_.first.flags = SavedNode::kListed;
  if (!is.ok() && !is.is_error(ENODATA)) before_.first.flags = SavedNode::kUnknown;
  of_.intents_.begin(pending.unique(), before_);
}

// What stands at a name, as the table knows it or else the origin.
SavedNode FileSystem::Intent::seen_at(const Place& place, Deadline until) const {
  SavedNode seen{.parent_id = place.parent.value, .name = place.name};
  {
    sync::MutexLock lock(of_.table_.mutex);
    Node* parent = of_.table_.find(place.parent);
    if (parent != nullptr && parent->directory) {
      if (const Node* node = of_.table_.child(*parent, place.name)) {
        take_look(seen, *node, of_.table_.id(*node));
        return seen;
      }
      const auto absent = parent->directory->absent.find(place.name);
      const bool just_looked = absent != parent->directory->absent.end() &&
                               of_.clock_.now() - absent->second < kJustLooked;
      if (just_looked || of_.absent_for(*parent, place.name) > Duration(0)) return seen;
    }
  }
  Result<NodeInfo> info = of_.origin_.stat(place.path, until);
  if (info.is_error(ENOENT)) return seen;
  // What no file can be does not go into a record.
  if (!info.ok() || !of_.info_is_allowed(place.path, info.value())) {
    seen.flags = SavedNode::kUnknown;
    return seen;
  }
  seen.flags = SavedNode::kListed;
  seen.attributes = info.value().attributes;
  seen.validator = std::move(info.value().validator);
  seen.identity = std::move(info.value().identity);
  return seen;
}

SavedNode FileSystem::Intent::seen_of(fuse::NodeId id) const {
  SavedNode seen;
  sync::MutexLock lock(of_.table_.mutex);
  if (const Node* node = of_.table_.find(id)) take_look(seen, *node, id);
  return seen;
}

void FileSystem::answer_change(Pending& pending, int error, std::span<const std::byte> body) {
  intents_.done(pending.unique(), error, body);
  pending.answer([&](fuse::Reply& to) {
    if (error != 0) return to.error(error);
    to.data(body);
  });
  intents_.end(pending.unique());
}

bool FileSystem::Intent::answered_before(FileSystem& of, const fuse::Request& request,
                                         fuse::Reply& reply) {
  if (!request.header.resent()) return false;
  const std::optional<Intents::Left> left = of.intents_.left(request.header.unique);
  if (!left && of.intents_.some_are_lost()) {
    // It may have been made, and what that has left would be taken for somebody else's.
    forget_nameless(of, request.header.unique);
    reply.error(EIO);
    return true;
  }
  if (!left || !left->done) return false;
  if (left->error != 0) {
    reply.error(left->error);
  } else {
    reply.data(std::as_bytes(std::span(left->answer.data(), left->answer.size())));
  }
  of.intents_.end(request.header.unique);
  return true;
}

Result<NodeInfo> FileSystem::Intent::made_before(const std::string& path, const NewNode& what,
                                                 Deadline until) const {
  if (!again_ || !was_absent(before_.first)) return Error(ENOENT, "vfs.intent");
  NodeInfo there = TRY(of_.origin_.stat(path, until));
  const Attributes& is = there.attributes;
  bool same = is.type == what.type;
  if (what.type == FileType::kRegular) same = same && is.size_bytes == 0;
  if (is.type == FileType::kCharDevice || is.type == FileType::kBlockDevice) {
    same = same && is.device == what.device;
  }
  if (same && is.type == FileType::kSymlink) {
    const Result<std::string> target = of_.origin_.read_link(path, until);
    same = target.ok() && target.value() == what.target;
  }
  if (!same) return Error(ENOENT, "vfs.intent");
  // It was made: what cannot be finished stays as it is.
  Result<NodeInfo> finished = of_.origin_.writer()->finish(path, what, until);
  return finished.ok() ? std::move(finished).value() : std::move(there);
}

Result<NodeInfo> FileSystem::Intent::linked_before(const std::string& path, Deadline until) const {
  if (!again_ || !was_absent(before_.first)) return Error(ENOENT, "vfs.intent");
  Result<NodeInfo> there = of_.origin_.stat(path, until);
  const SavedNode& linked = before_.second;
  if (!is_same_thing(linked, there)) return Error(ENOENT, "vfs.intent");
  const bool told = !linked.identity.empty() && !there.value().identity.empty();
  const bool may_be = there.value().attributes.size_bytes == linked.attributes.size_bytes;
  if (!told && !may_be) return Error(ENOENT, "vfs.intent");
  return there;
}

bool FileSystem::Intent::removed_before(const std::string& path, Deadline until) const {
  if (!again_ || was_absent(before_.first)) return false;
  const Result<NodeInfo> now = of_.origin_.stat(path, until);
  if (now.is_error(ENOENT)) return true;
  // What others have put there since is theirs.
  return now.ok() && was_there(before_.first) && !is_same_thing(before_.first, now);
}

bool FileSystem::Intent::set_before(const FileRef& file, const std::string& name,
                                    const std::optional<std::string>& value, Deadline until) const {
  if (!again_) return false;
  const Result<std::string> is = of_.writer_->get_xattr(file, name, until);
  if (!value) return !was_absent(before_.first) && is.is_error(ENODATA);
  return was_absent(before_.first) && is.ok() && is.value() == *value;
}

bool FileSystem::Intent::is_at_old_name(const std::string& from, Deadline until) const {
  return is_same_thing(before_.first, of_.origin_.stat(from, until));
}

bool FileSystem::Intent::renamed_before(const std::string& from, const std::string& to,
                                        Deadline until) const {
  if (!again_ || before_.how == 0 || was_absent(before_.first)) return false;
  const auto how = static_cast<RenameHow>(before_.how - 1);
  const Result<NodeInfo> old_name = of_.origin_.stat(from, until);
  const Result<NodeInfo> new_name = of_.origin_.stat(to, until);
  if (!new_name.ok() || (!old_name.ok() && !old_name.is_error(ENOENT))) return false;
  const bool arrived = was_there(before_.first) ? is_same_thing(before_.first, new_name) : true;
  if (!arrived) return false;
  if (how == RenameHow::kExchange) {
    const bool both = is_same_thing(before_.second, old_name);
    if (before_.first.identity.empty() && both) {
      return new_name.value().validator == before_.first.validator &&
             old_name.value().validator == before_.second.validator &&
             before_.first.validator != before_.second.validator;
    }
    return both && !is_same_identity(before_.first.identity, before_.second.identity);
  }
  if (!old_name.ok()) return true;
  // The old name is there: as before, or somebody else's by now.
  if (before_.first.identity.empty() || old_name.value().identity.empty()) {
    if (old_name.value().attributes.type != before_.first.attributes.type) return true;
    return new_name.value().validator == before_.first.validator &&
           old_name.value().validator != before_.first.validator;
  }
  return old_name.value().identity != before_.first.identity;
}

}  // namespace netfs::vfs
