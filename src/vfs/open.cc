// OPEN: decides who serves the reads of a file: the kernel by itself, from the cache's sealed file,
// or this process.
//
// All opens of one node go one way, from the first to the last close: the kernel answers a mixture
// with EIO.  An open that memory decides is answered at once.  One that we serve needs no file yet:
// the first read brings it, and the pages of an earlier open may be all that is read.  Else a
// worker finds out, and other opens of the node wait for the same worker: open_prepare.cc.

#include <cerrno>
#include <fcntl.h>

#include "vfs/intent.h"
#include "vfs/kept_files.h"
#include "vfs/locking.h"

namespace netfs::vfs {

namespace {

// Its bytes were fetched before it was opened, and the origin had another version by then.
bool was_given_up(const Node& node) {
  return node.open && node.open->file && !node.is_live() && node.open->file->superseded();
}

}  // namespace

void FileSystem::open(const fuse::Request& request, fuse::Reply reply) {
  const auto& wanted = std::get<fuse::OpenRequest>(request.body);
  // The kernel then opens without asking, for as long as the connection lives.
  if (no_open_) return reply.error(ENOSYS);
  if (Intent::opened_before(*this, request, wanted.flags, reply)) return;
  if ((wanted.flags & O_ACCMODE) != O_RDONLY || (wanted.flags & O_TRUNC) != 0) {
    return open_for_writing(request, std::move(reply));
  }
  counters_.opens.add();
  const fuse::NodeId id = request.header.node;
  bool fresh = false;
  bool watched = false;
  {
    sync::MutexLock lock(table_.mutex);
    const Node* node = table_.find(id);
    // What was only shown since is looked at first.
    const bool seen =
        node != nullptr && is_fresh(*node) && is_fresh(node->validated_at, options_.metadata_ttl);
    fresh = node == nullptr || !InodeTable::is_current(*node) || (seen && !was_given_up(*node));
    watched = node != nullptr && files_ahead_.watches(*node);
  }
  // Before the answer: by the next open another thread might overtake this one, and it would look
  // as if they came out of turn.
  if (watched) note_opened(id);
  if (fresh) return open_fresh(id, std::move(reply));
  Ref<Pending> pending = pending_.add(std::move(reply));
  refresh_node(id, Look::kAtTheName, [this, id, pending](const Result<void>& seen) {
    if (!seen.ok()) return pending->error(seen.code());
    answer_open(id, Prepared::kNothing, *pending);
    // What could not be answered yet is still pending: a worker prepares it.
    if (!pending->answered()) prepare_open(id, pending);
  });
}

void FileSystem::open_fresh(fuse::NodeId id, fuse::Reply reply) {
  const OpenAnswer now = try_open(id, Prepared::kNothing, reply.unique());
  if (now.error != 0) return reply.error(now.error);
  if (!now.later) return reply.value(fuse::open_out(now.opened));
  prepare_open(id, pending_.add(std::move(reply)));
}

// It may still grow: a file the kernel reads by itself would end where it ended when it was sealed.
bool FileSystem::is_hot(const Node& node) const {
  if (node.changed_while_open) return true;
  const Timestamp now = clock_.wall();
  const int64_t hot_seconds =
      std::chrono::duration_cast<std::chrono::seconds>(options_.hot).count();
  // A time in the future is hot too: clocks differ.
  return node.attributes.mtime.seconds > now.seconds - hot_seconds;
}

bool FileSystem::hides_changes(const Node& node) const {
  // For every read: a strong validator needs no clock.
  return node.validator.strength != ValidatorStrength::kStrong &&
         is_racy(node.validator, origin_.capabilities().validator_granularity, clock_.wall());
}

// kClosed: a worker must find out.
OpenMode FileSystem::choose_mode(Node& node, bool sealed, Prepared prepared) {
  const auto serve = [this](NotHandedOut why) {
    counters_.not_handed_out[static_cast<size_t>(why)].add();
    return OpenMode::kDaemon;
  };
  if (prepared == Prepared::kDaemon) return OpenMode::kDaemon;  // and counted by who prepared it
  if (!passthrough_) return serve(NotHandedOut::kNotNegotiated);
  const OpenState& state = node.open_state();
  if (prepared == Prepared::kHandOut || state.was_handed_out) return OpenMode::kHandedOut;
  if (state.hand_out_failed) return serve(NotHandedOut::kRefused);
  if (is_hot(node)) return serve(NotHandedOut::kHot);
  if (!state.file || sealed) return OpenMode::kClosed;
  return serve(NotHandedOut::kNotSealed);
}

// What memory says of an open; the table's lock is held, and that of the backing ids below it.
OpenAnswer FileSystem::open_locked(Node& node, bool sealed, Prepared prepared, uint64_t unique,
                                   Graveyard& graveyard) {
  NodeRecord& record = table_.record(node);
  // By /proc/self/fd a file is opened that has no name any more.
  const bool held = node.is_live() || KeptFiles::is_left(node);
  const bool nameless = node.hidden || (held && record.opens > 0);
  if (!InodeTable::is_current(node) && !nameless) return {.error = ESTALE};
  if (node.attributes.type == FileType::kDirectory) return {.error = EISDIR};
  if (node.attributes.type != FileType::kRegular) return {.error = EINVAL};
  OpenState& state = node.open_state();
  // Whoever takes a name from it has seen who has it open, and keeps it for those.
  if (node.is_going()) return {.later = true};
  if (state.preparing && prepared == Prepared::kNothing) return {.later = true};

  auto mode = static_cast<OpenMode>(record.open_mode);
  if (mode == OpenMode::kDaemon && passthrough_) {
    counters_.not_handed_out[static_cast<size_t>(NotHandedOut::kOpenOtherwise)].add();
  }
  if (mode == OpenMode::kClosed) mode = choose_mode(node, sealed, prepared);
  if (mode == OpenMode::kClosed) return {.later = true};

  std::optional<int32_t> backing;
  if (mode == OpenMode::kHandedOut) {
    backing = backing_->acquire_known(fuse::NodeId(record.node_id));
    if (!backing) {
      // Forgotten since; while it is open, each open holds a use of it.
      NETFS_ASSERT(record.opens == 0);
      state.was_handed_out = false;
      if (prepared == Prepared::kNothing) return {.later = true};
      mode = OpenMode::kDaemon;
    }
  }
  OpenAnswer answer;
  answer.opened.no_flush = !locking_ || !locking_->on();
  if (backing) {
    record.backing_id.set(static_cast<uint32_t>(*backing));
    answer.opened.backing_id = *backing;
    counters_.opens_handed_out.add();
    files_ahead_.asked(fuse::NodeId(record.node_id));
  } else {
    answer.opened.keep_cache = node.keep_pages(hides_changes(node));
  }
  answer.opened.handle = table_.open_handle(node, mode, graveyard, unique);
  return answer;
}

OpenAnswer FileSystem::try_open(fuse::NodeId id, Prepared prepared, uint64_t unique) {
  Ref<File> file;
  if (passthrough_ && prepared == Prepared::kNothing) {
    sync::MutexLock lock(table_.mutex);
    if (const Node* node = table_.find(id); node != nullptr && node->open) file = node->open->file;
  }
  const bool sealed = file && file->sealed();  // may take locks of the cache
  if (file && !sealed) file->fill_holes();     // the next open may find it sealed
  Graveyard graveyard;
  OpenAnswer answer;
  {
    sync::MutexLock lock(table_.mutex);
    Node* node = table_.find(id);
    answer = node == nullptr ? OpenAnswer{.error = ESTALE}
                             : open_locked(*node, sealed, prepared, unique, graveyard);
  }
  bury(std::move(graveyard));
  return answer;
}

void FileSystem::answer_open(fuse::NodeId id, Prepared prepared, Pending& pending) {
  const OpenAnswer now = try_open(id, prepared, pending.unique());
  if (now.later) return;
  if (now.error != 0) return pending.error(now.error);
  bool given = false;
  pending.answer([&](fuse::Reply& reply) {
    given = true;
    reply.value(fuse::open_out(now.opened));
  });
  if (!given) close_handle(now.opened.handle);  // interrupted: nobody has the handle
}

}  // namespace netfs::vfs
