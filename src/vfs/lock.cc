// GETLK, SETLK and SETLKW: fcntl(2)'s and flock(2)'s locks, which are the origin's where it has
// any.

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include "vfs/limits.h"
#include "vfs/lock_ask.h"
#include "vfs/locking.h"

namespace netfs::vfs {

namespace {

std::optional<LockMode> mode_of(uint32_t type) {
  switch (type) {
    case F_RDLCK:
      return LockMode::kShared;
    case F_WRLCK:
      return LockMode::kExclusive;
    case F_UNLCK:
      return LockMode::kNone;
    default:
      return {};
  }
}

fuse::LockRequest lock_of(const std::optional<LockedRange>& found) {
  if (!found) return {.type = F_UNLCK};
  const bool shared = found->mode == LockMode::kShared;
  return {.start = found->span.first,
          .end = found->span.last,
          .type = static_cast<uint32_t>(shared ? F_RDLCK : F_WRLCK),
          .pid = found->pid};
}

// Whether it is the file that its path, or the handle that keeps it alive, leads to now.
bool is_the_origins(const Node& node) {
  return node.is_live() || (node.open && node.open->left) || InodeTable::is_current(node) ||
         node.hidden;
}

}  // namespace

void FileSystem::lock(const fuse::Request& request, fuse::Reply reply) {
  if (!locking_) return refuse_unsupported(request, std::move(reply));
  locking_->ask(request, std::move(reply));
}

void FileSystem::interrupt(uint64_t unique) {
  pending_.interrupt(unique);
  if (locking_) locking_->interrupt(unique);
}

FileSystem::Locking::Locking(FileSystem& of, OriginLocks& origin, DescriptorKeeper* keeper)
    : of_(of),
      origin_(origin),
      saved_(of.memory_),
      table_({.origin = origin,
              .open = [this](const LockTable::Wanted& wanted) { return open(wanted); },
              .saved = saved_,
              .keeper = keeper,
              .timeout = of.options_.timeout,
              .close_grace = of.options_.lock_close_grace,
              .ends_with_process = of.origin_.capabilities().locks_end_with_process,
              .clock = of.clock_,
              .counters = of.counters_}) {}

Result<LockTable::Wanted> FileSystem::Locking::wanted_of(const fuse::Request& request) {
  const auto& asked = std::get<fuse::LockRequest>(request.body);
  const bool finds = request.header.opcode == fuse::Opcode::kGetlk;
  const std::optional<LockMode> mode = mode_of(asked.type);
  const bool sound = mode && asked.start <= asked.end && asked.start <= kLockEnd;
  if (!sound || (finds && *mode == LockMode::kNone)) return Error(EINVAL, "vfs.lock");
  const bool whole = (asked.flags & fuse::proto::kLkFlock) != 0;
  LockTable::Wanted wanted{.handle = asked.handle};
  wanted.kind = whole ? LockKind::kWhole : LockKind::kRange;
  wanted.range = {.owner = asked.owner,
                  .mode = *mode,
                  .span = {asked.start, std::min(asked.end, kLockEnd)},
                  .pid = asked.pid};
  wanted.waits = request.header.opcode == fuse::Opcode::kSetlkw && *mode != LockMode::kNone;
  wanted.unique = request.header.unique;
  sync::MutexLock lock(of_.table_.mutex);
  const Handle* handle = of_.table_.handle(asked.handle);
  // Of a process before this one: with it went what it had locked.
  if (handle == nullptr) return Error(ESTALE, "vfs.lock");
  if (!finds && *mode != LockMode::kNone) {
    // Who reads what was there before would lock what he does not read.
    if (!is_the_origins(*handle->node)) return Error(ESTALE, "vfs.lock");
    handle->node->seldom_part().locked = true;
  }
  wanted.node = of_.table_.id(*handle->node);
  wanted.identity = handle->node->identity;
  return wanted;
}

void FileSystem::Locking::ask(const fuse::Request& request, fuse::Reply reply) {
  Result<LockTable::Wanted> wanted = wanted_of(request);
  if (!wanted.ok()) return reply.error(wanted.code());
  if (request.header.opcode == fuse::Opcode::kGetlk) {
    return find(std::move(wanted).value(), std::move(reply));
  }
  if (wanted.value().range.mode == LockMode::kNone) {
    return unlock(std::move(wanted).value(), std::move(reply));
  }
  lock(std::move(wanted).value(), std::move(reply));
}

void FileSystem::Locking::find(LockTable::Wanted wanted, fuse::Reply reply) {
  const Ref<LockTable::Ask> ask = table_.prepare(std::move(wanted));
  const Ref<Pending> pending = of_.pending_.add(std::move(reply), Interrupts::kIgnored);
  table_.find(ask, [pending](const LockTable::Found& found) {
    if (!found.ok()) return pending->error(found.code());
    pending->answer([&](fuse::Reply& to) { to.value(fuse::lock_out(lock_of(found.value()))); });
  });
}

// What was written under it is at the origin first.
void FileSystem::Locking::unlock(LockTable::Wanted wanted, fuse::Reply reply) {
  const LockTable::FileName file{wanted.node, wanted.identity};
  if (!table_.has(file, wanted.kind, wanted.range.owner)) return reply.ok();
  const fuse::NodeId id = wanted.node;
  const Ref<LockTable::Ask> ask = table_.prepare(std::move(wanted));
  const Ref<Pending> pending = of_.pending_.add(std::move(reply), Interrupts::kIgnored);
  of_.after_landing(id, [this, ask, pending] {
    table_.set(ask, [pending](const Result<void>& set) {
      if (!set.ok()) return pending->error(set.code());
      pending->answer([](fuse::Reply& to) { to.ok(); });
    });
  });
}

void FileSystem::Locking::lock(LockTable::Wanted wanted, fuse::Reply reply) {
  const fuse::NodeId id = wanted.node;
  const uint64_t unique = wanted.unique;
  LockTable::Wanted got = wanted;
  const bool has_one = table_.has({id, wanted.identity}, wanted.kind, wanted.range.owner);
  const Ref<LockTable::Ask> ask = table_.prepare(std::move(wanted));
  // An INTERRUPT that came before it was listed.
  if (reply.interrupted()) table_.interrupt(unique);
  const Ref<Pending> pending = of_.pending_.add(std::move(reply), Interrupts::kIgnored);
  const auto set = [this, got = std::move(got), ask, pending] {
    table_.set(ask, [this, got, pending](const Result<void>& done) {
      if (!done.ok()) return pending->error(done.code());
      answer_locked(got, pending);
    });
  };
  // Less than he has lets others in, who are to find what was written under it; flock(2) may lose
  // what it has whatever is asked.
  if (!has_one) return set();
  of_.after_landing(id, set);
}

LockTable::FileName FileSystem::Locking::name_of(fuse::NodeId node) {
  sync::MutexLock lock(of_.table_.mutex);
  const Node* known = of_.table_.find(node);
  return {node, known == nullptr ? std::string() : known->identity};
}

void FileSystem::Locking::give_back(fuse::NodeId node, uint64_t owner,
                                    UniqueFunction<void(const Result<void>&)> then) {
  LockTable::FileName file = name_of(node);
  LockTable::Wanted wanted{.node = file.node, .identity = std::move(file.identity)};
  wanted.range.owner = owner;
  table_.set(table_.prepare(std::move(wanted)),
             [then = std::move(then)](const Result<void>& set) mutable { then(set); });
}

bool FileSystem::Locking::refuses(const fuse::Request& request) {
  if (!table_.has_files()) return false;
  const fuse::NodeId node = request.header.node;
  if (const auto* read = std::get_if<fuse::ReadRequest>(&request.body)) {
    return has_lost(node, read->handle);
  }
  if (const auto* write = std::get_if<fuse::WriteRequest>(&request.body)) {
    return !write->from_cache && has_lost(node, write->handle);
  }
  // ftruncate(2), too, changes what the file holds.
  if (const auto* set = std::get_if<fuse::SetattrRequest>(&request.body)) {
    constexpr uint32_t kSizeByHandle = fuse::proto::kSetSize | fuse::proto::kSetFh;
    return (set->valid & kSizeByHandle) == kSizeByHandle && has_lost(node, set->handle);
  }
  if (const auto* sync = std::get_if<fuse::FsyncRequest>(&request.body)) {
    return has_lost(node, sync->handle);
  }
  if (const auto* allocate = std::get_if<fuse::FallocateRequest>(&request.body)) {
    return has_lost(node, allocate->handle);
  }
  const auto* copy = std::get_if<fuse::CopyRequest>(&request.body);
  return copy != nullptr && (has_lost(node, copy->from) || has_lost(copy->to_node, copy->to));
}

// Of a file that is known here; no other can be used.
std::optional<std::string> FileSystem::Locking::identity_of(const SavedLocks::Owner& owner) {
  sync::MutexLock lock(of_.table_.mutex);
  Node* node = of_.table_.find(owner.node);
  if (node == nullptr) return {};
  node->seldom_part().locked = true;
  return node->identity;
}

bool FileSystem::Locking::has_handle(const SavedLocks::Owner& owner) {
  sync::MutexLock lock(of_.table_.mutex);
  return of_.table_.handle(owner.handle, owner.node) != nullptr;
}

void FileSystem::Locking::take_over(std::map<uint64_t, UniqueFd> kept) {
  const Deadline until = of_.deadline();
  for (const SavedLocks::Left& left : saved_.left()) {
    const auto found = kept.find(LockTable::key_of(left.owner.kind, left.number));
    const std::optional<std::string> identity = identity_of(left.owner);
    if (!identity) {
      saved_.forget(left.number);
      continue;
    }
    UniqueFd descriptor;
    if (found != kept.end()) {
      descriptor = std::move(found->second);
      kept.erase(found);
    }
    const LockTable::Heir heir{.identity = *identity, .has_handle = has_handle(left.owner)};
    table_.take_over(left, heir, std::move(descriptor), until);
    // Whoever has it now may change the file, and what the kernel has of it is not asked for.
    if (table_.has_lost(left.owner.node, left.owner.handle)) of_.forget_pages(left.owner.node);
  }
  for (auto& [key, descriptor] : kept) {
    table_.give_back_left(key, std::move(descriptor));
  }
}

// A holder at the origin, for the file that the node is.
Result<std::unique_ptr<OriginLock>> FileSystem::Locking::open(const LockTable::Wanted& wanted) {
  const Deadline until = of_.deadline();
  for (int attempt = 0;; ++attempt) {
    const FileRef file = TRY(of_.file_ref(wanted.node));
    Result<OriginLocks::Opened> opened = origin_.open(file.at(), wanted.kind, until);
    const bool other =
        opened.ok() && !wanted.identity.empty() && opened.value().info.identity != wanted.identity;
    if (opened.ok() && !other) return std::move(opened.value().lock);
    const bool missed = other || opened.is_error(ENOENT);
    if (!missed) return std::move(opened).error();
    // A change of names of ours may have moved it away.
    const bool moved = !file.open && of_.has_moved(wanted.node, file.path);
    if (!moved || attempt >= kMovedLooksMax || until.passed(of_.clock_.now())) {
      return Error(ESTALE, "vfs.lock");
    }
  }
}

// Whoever had it before may have changed the file: it is looked at, by a look of its own, for one
// that is under way may have come before the lock; and what the kernel has of it is dropped.  Whose
// file that look finds replaced has nothing of it.
void FileSystem::Locking::answer_locked(const LockTable::Wanted& got, const Ref<Pending>& pending) {
  of_.after_settling(got.node, [this, got, pending] {
    of_.on_worker([this, got, pending] {
      sync::ContextScope scope(pending->context());
      const fuse::NodeId id = got.node;
      const bool keeps = look_under_lock(id);
      if (!reads_it(id)) return refuse_stale(got, pending);
      const auto answer = [pending] { pending->answer([](fuse::Reply& to) { to.ok(); }); };
      fuse::Notifier* const kernel = of_.notifier_;
      const bool told = kernel != nullptr && (keeps ? kernel->inval_attributes(id, answer)
                                                    : kernel->inval_inode(id, {0, 0}, answer));
      if (!told) answer();
    });
  });
}

bool FileSystem::Locking::reads_it(fuse::NodeId id) {
  sync::MutexLock lock(of_.table_.mutex);
  const Node* node = of_.table_.find(id);
  return node != nullptr && is_the_origins(*node);
}

void FileSystem::Locking::refuse_stale(LockTable::Wanted got, const Ref<Pending>& pending) {
  got.range.mode = LockMode::kNone;
  got.waits = false;
  table_.set(table_.prepare(std::move(got)),
             [pending](const Result<void>&) { pending->error(ESTALE); });
}

// Whether what is known of it was seen by a look that began after a serial number: this one, or a
// newer one of somebody else's that came in before.
bool FileSystem::Locking::look_since(fuse::NodeId id, const Name& name, uint64_t serial) {
  const Deadline until = of_.deadline();
  for (int attempt = 0; attempt < kLooksUnderLockMax; ++attempt) {
    if (!of_.look(name, until).ok()) return false;
    sync::MutexLock lock(of_.table_.mutex);
    const Node* node = of_.table_.find(id);
    if (node == nullptr || !InodeTable::is_current(*node)) return false;
    if (node->looked_in() > serial) return true;
    // Changes of ours overtook it; what is live is read from the origin whatever is known of it.
    if (node->is_live() || of_.believed_unreachable()) return false;
  }
  return false;
}

// Whether the kernel may keep its pages: what was last seen of the file, at a time when no change
// could hide behind it, is what is there.
bool FileSystem::Locking::look_under_lock(fuse::NodeId id) {
  Name name;
  Validator before;
  bool could_hide = true;
  uint64_t locked_in = 0;
  {
    sync::MutexLock lock(of_.table_.mutex);
    locked_in = of_.table_.serial();
    Node* node = of_.table_.find(id);
    // One without a name has its bytes by its handle, and nobody else changes them but by that.
    if (node == nullptr || !InodeTable::is_current(*node) || node->parent == nullptr) return false;
    before = node->validator;
    name = {.parent = of_.table_.id(*node->parent),
            .name = node->name,
            .path = InodeTable::path_of(*node)};
    if (node->validated_at > MonoTime()) {
      const Duration since = of_.clock_.now() - node->validated_at;
      const Duration granule = of_.origin_.capabilities().validator_granularity;
      could_hide = is_racy(before, granule + since, of_.clock_.wall());
    }
  }
  const bool seen = look_since(id, name, locked_in);
  sync::MutexLock lock(of_.table_.mutex);
  Node* node = of_.table_.find(id);
  if (node == nullptr) return false;
  if (!seen) node->doubted = true;
  const bool same = seen && InodeTable::is_current(*node) && node->validator == before;
  if (node->keep_pages(of_.hides_changes(*node)) && same && !could_hide) return true;
  if (node->open && node->open->file) node->open->file->forget_racy();
  return false;
}

}  // namespace netfs::vfs
