// OPEN: decides who serves the reads of a file: the kernel by itself, from the cache's sealed file,
// or this process.
//
// All opens of one node go one way, from the first to the last close: the kernel answers a mixture
// with EIO.  An open that memory decides is answered at once; else a worker prepares the file, and
// other opens of the node wait for the same preparation.

#include <cerrno>
#include <fcntl.h>

#include "telemetry/log.h"
#include "vfs/file_system.h"

namespace netfs::vfs {

namespace {

OpenMode mode_of(const NodeRecord& record) {
  return static_cast<OpenMode>(record.open_mode);
}

}  // namespace

void FileSystem::open(const fuse::Request& request, fuse::Reply reply) {
  const auto& wanted = std::get<fuse::OpenRequest>(request.body);
  // The kernel then opens without asking, for as long as the connection lives.
  if (options_.immutable) return reply.error(ENOSYS);
  if ((wanted.flags & O_ACCMODE) != O_RDONLY || (wanted.flags & O_TRUNC) != 0) {
    return reply.error(EROFS);
  }
  counters_.opens.add();
  const fuse::NodeId id = request.header.node;
  bool fresh = false;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    fresh = node == nullptr || !is_current(*node) || is_fresh(*node);
  }
  if (fresh) {
    const OpenAnswer now = try_open(id);
    if (now.error != 0) return reply.error(now.error);
    if (!now.later) return reply.value(fuse::open_out(now.opened));
    return prepare_open(id, pending_.add(std::move(reply)));
  }
  Ref<Pending> pending = pending_.add(std::move(reply));
  refresh_node(id, [this, id, pending](const Result<void>& seen) {
    if (!seen.ok()) return pending->error(seen.code());
    answer_open(id, *pending);
    // What could not be answered yet is still pending: a worker prepares it.
    if (!pending->answered()) prepare_open(id, pending);
  });
}

// Whether a file that is closed now may be handed to the kernel; counts why not.
bool FileSystem::may_hand_out(Node& node, bool count) {
  const auto no = [&](NotHandedOut why) {
    if (count) counters_.not_handed_out[static_cast<size_t>(why)].add();
    return false;
  };
  if (!passthrough_) return no(NotHandedOut::kNotNegotiated);
  if (!node.file->sealed()) return no(NotHandedOut::kNotSealed);
  const Timestamp now = clock_.wall();
  const int64_t hot_seconds =
      std::chrono::duration_cast<std::chrono::seconds>(options_.hot).count();
  // A time in the future is hot too: clocks differ, and a file that grows must not be frozen.
  if (node.attributes.mtime.seconds > now.seconds - hot_seconds) return no(NotHandedOut::kHot);
  return true;
}

// What memory says of an open; the table's lock is held, and that of the backing ids below it.
FileSystem::OpenAnswer FileSystem::open_locked(Node& node) {
  NodeRecord& record = table_.record(node);
  if (!is_current(node)) return {.error = ESTALE};
  if (node.attributes.type != FileType::kRegular) return {.error = EINVAL};
  if (node.opening) return {.later = true};
  if (mode_of(record) == OpenMode::kClosed && !node.file) return {.later = true};

  OpenAnswer answer;
  answer.opened.no_flush = true;
  const bool hand_out = mode_of(record) == OpenMode::kHandedOut ||
                        (mode_of(record) == OpenMode::kClosed && may_hand_out(node, true));
  if (hand_out) {
    const std::optional<int32_t> backing = backing_->acquire_known(fuse::NodeId(record.node_id));
    if (!backing) return {.later = true};
    record.open_mode = static_cast<uint32_t>(OpenMode::kHandedOut);
    record.backing_id = *backing;
    answer.opened.backing_id = *backing;
    answer.opened.handle = table_.open_handle(node, /*directory=*/false);
    counters_.opens_handed_out.add();
    return answer;
  }
  if (mode_of(record) == OpenMode::kDaemon && passthrough_ && node.file->sealed()) {
    counters_.not_handed_out[static_cast<size_t>(NotHandedOut::kOpenOtherwise)].add();
  }
  record.open_mode = static_cast<uint32_t>(OpenMode::kDaemon);
  answer.opened.keep_cache = true;  // same nodeid, same version, same pages
  answer.opened.handle = table_.open_handle(node, /*directory=*/false);
  Handle* handle = table_.handle(answer.opened.handle);
  handle->file = node.file;
  handle->stream = node.file->open_stream();
  return answer;
}

FileSystem::OpenAnswer FileSystem::try_open(fuse::NodeId id) {
  sync::MutexLock lock(table_.mutex);
  Node* node = table_.find(id);
  return node == nullptr ? OpenAnswer{.error = ESTALE} : open_locked(*node);
}

void FileSystem::answer_open(fuse::NodeId id, Pending& pending) {
  const OpenAnswer now = try_open(id);
  if (now.later) return;
  if (now.error != 0) return pending.error(now.error);
  bool given = false;
  pending.answer([&](fuse::Reply& reply) {
    given = true;
    reply.value(fuse::open_out(now.opened));
  });
  if (!given) close_handle(now.opened.handle);  // interrupted: nobody has the handle
}

void FileSystem::prepare_open(fuse::NodeId id, Ref<Pending> pending) {
  if (!open_flights_.join(std::to_string(id.value), std::move(pending))) {
    counters_.coalesced.add();
    return;
  }
  {
    Graveyard none;
    sync::MutexLock lock(table_.mutex);
    if (Node* node = table_.find(id)) table_.set_opening(*node, true, none);
  }
  on_worker([this, id] { prepare_on_worker(id); });
}

void FileSystem::prepare_on_worker(fuse::NodeId id) {
  const Result<void> ready = prepare_file(id);
  {
    Graveyard unused;
    {
      sync::MutexLock lock(table_.mutex);
      if (Node* node = table_.find(id)) table_.set_opening(*node, false, unused);
    }
    bury(std::move(unused));
  }
  for (const Ref<Pending>& pending : open_flights_.land(std::to_string(id.value))) {
    if (!ready.ok()) {
      pending->error(ready.code());
      continue;
    }
    answer_open(id, *pending);
    // The backing id was lost again in between: once more.
    if (!pending->answered()) prepare_open(id, pending);
  }
  Graveyard graveyard;
  {
    sync::MutexLock lock(table_.mutex);
    if (Node* node = table_.find(id)) {
      if (node->file && table_.record(*node).opens == 0) table_.keep_idle_file(*node, graveyard);
    }
  }
  bury(std::move(graveyard));
}

// Makes node.file, and registers it with the kernel if it may be handed out.
Result<void> FileSystem::prepare_file(fuse::NodeId id) {
  FileVersion version;
  Ref<File> file;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node == nullptr || !is_current(*node)) return Error(ESTALE, "vfs.open");
    file = node->file;
    version.path = InodeTable::path_of(*node);
    version.identity = node->identity.empty() ? version.path : node->identity;
    version.validator = node->validator;
    version.size_bytes = node->attributes.size_bytes;
  }
  if (!file) file = TRY(library_.open(std::move(version)));
  bool hand_out = false;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node == nullptr) return Error(ESTALE, "vfs.open");
    if (!node->file) node->file = file;
    hand_out = mode_of(table_.record(*node)) == OpenMode::kClosed && may_hand_out(*node, false);
  }
  if (!hand_out) return {};
  Result<UniqueFd> fd = file->hand_out();
  Result<int32_t> backing =
      fd.ok() ? backing_->acquire(id, fd.value().get()) : Result<int32_t>(fd.error());
  if (!backing.ok()) {
    // The kernel will not have this file, or no file at all: serve it from here.
    counters_.not_handed_out[static_cast<size_t>(NotHandedOut::kRefused)].add();
    telemetry::log_warn("vfs", "the kernel does not take a file for passthrough: {}",
                        backing.error().message());
    const bool none =
        backing.is_error(EPERM) || backing.is_error(ENOTTY) || backing.is_error(EOPNOTSUPP);
    if (none) passthrough_ = false;
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    if (node == nullptr) return Error(ESTALE, "vfs.open");
    table_.record(*node).open_mode = static_cast<uint32_t>(OpenMode::kDaemon);
    return {};
  }
  backing_->release(id);  // each open takes its own; the id is remembered meanwhile
  return {};
}

}  // namespace netfs::vfs
