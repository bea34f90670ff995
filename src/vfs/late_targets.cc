#include "vfs/late_targets.h"

#include <cerrno>
#include <utility>

#include "vfs/limits.h"

namespace netfs::vfs {

namespace {

// Whether there is none, or one of an earlier listing.
bool is_before(const Result<std::string>& stored, std::string_view held, std::string_view path) {
  if (!stored.ok()) return stored.is_error(ENOENT);
  const std::optional<NamesDecoder> one = NamesDecoder::open(stored.value(), path);
  const std::optional<NamesDecoder> other = NamesDecoder::open(held, path);
  if (!one || !other) return false;
  const Timestamp &at = one->head().listed_at, &then = other->head().listed_at;
  return std::pair(at.seconds, at.nanoseconds) < std::pair(then.seconds, then.nanoseconds);
}

}  // namespace

void FileSystem::LateTargets::hold(fuse::NodeId directory, const Intake& intake,
                                   const std::string& bytes) {
  Ref<HeldRecord> record = intake.lacks_targets ? copy_of(bytes) : nullptr;
  bool waits = record != nullptr;
  {
    sync::MutexLock lock(of_.table_.mutex);
    Node* node = of_.table_.find(directory);
    if (node == nullptr || node->directory->kept.saved_at != intake.began) return;
    // While it was listed, too.
    waits |= node->directory->kept.learnt;
    std::swap(record, node->directory->kept.record);
  }
  if (waits) add(directory);
}

// Null: there are enough of them.
Ref<HeldRecord> FileSystem::LateTargets::copy_of(const std::string& bytes) {
  if (bytes.empty()) return nullptr;
  Ref<HeldRecord> held = make_ref<HeldRecord>(bytes.size(), held_bytes_);
  if (held_bytes_ > kHeldRecordsBytesMax) return nullptr;
  held->bytes = bytes;
  held->since = of_.clock_.now();
  return held;
}

void FileSystem::LateTargets::add(fuse::NodeId directory) {
  {
    sync::MutexLock lock(mutex_);
    directories_.insert(directory.value);
    if (std::exchange(is_due_, true)) return;
  }
  // Stopping: stop() sees to them.
  (void)of_.ahead_.post_at(Clock::system().now() + kLateTargetsAfter, [this] { store_all(); });
}

void FileSystem::LateTargets::stop() {
  // Records that are on their way to the cache are to be there first: the last one counts.
  (void)of_.ahead_.drain(Deadline::after(Clock::system(), of_.options_.timeout).at);
  (void)of_.ahead_.post([this] { store_all(); });
}

void FileSystem::LateTargets::store_all() {
  std::set<uint64_t> directories;
  {
    sync::MutexLock lock(mutex_);
    directories.swap(directories_);
    is_due_ = false;
  }
  // Nothing is read that could not be stored.
  const bool has_room = of_.names_->has_room();
  MonoTime until = MonoTime::max();
  for (const uint64_t id : directories) {
    // Where the mount ends the rest is lost then: whoever unmounts waits for this.
    const MonoTime now = Clock::system().now();
    if (of_.stopping_ && until == MonoTime::max()) until = now + of_.options_.timeout;
    if (now >= until) return;
    if (!store_one(fuse::NodeId(id), has_room)) add(fuse::NodeId(id));
  }
}

// False: it is to be looked at again.
bool FileSystem::LateTargets::store_one(fuse::NodeId id, bool has_room) {
  Claimed claimed;
  const Next next = claim(id, has_room, claimed);
  if (next != Next::kStore) return next == Next::kNothing;
  const bool done = store(id, claimed);
  sync::MutexLock lock(of_.table_.mutex);
  Node* node = of_.table_.find(id);
  if (node == nullptr) return true;
  --node->directory->kept.saving;
  if (!done) node->directory->kept.learnt = true;
  return done;
}

FileSystem::LateTargets::Next FileSystem::LateTargets::claim(fuse::NodeId id, bool has_room,
                                                             Claimed& claimed) {
  const MonoTime now = of_.clock_.now();
  sync::MutexLock lock(of_.table_.mutex);
  const Node* node = of_.table_.find(id);
  if (node == nullptr || !node->directory) return Next::kNothing;
  KeptNames& kept = node->directory->kept;
  if (!InodeTable::is_current(*node)) {
    kept.record = nullptr;
    return Next::kNothing;
  }
  if (kept.record && now - kept.record->since >= kHeldRecordsFor) kept.record = nullptr;
  claimed.record = kept.record;
  // Where nothing is stored what was learnt waits for the next listing.
  if (!kept.learnt || kept.saved_at == MonoTime()) {
    return kept.record ? Next::kLater : Next::kNothing;
  }
  const bool was_just_now =
      kept.amended_at != MonoTime() && now - kept.amended_at < kNamesResave && !of_.stopping_;
  // The cache may not have it yet, and later is early enough.
  const bool may_be_early = kept.record && !of_.stopping_;
  if (!has_room || kept.saving > 0 || was_just_now || may_be_early) return Next::kLater;
  kept.learnt = false;
  kept.amended_at = now;
  ++kept.saving;
  claimed.path = InodeTable::path_of(*node);
  claimed.crc = kept.crc;
  claimed.saves = kept.saves;
  return Next::kStore;
}

// False: it is to be tried again.
bool FileSystem::LateTargets::store(fuse::NodeId id, const Claimed& claimed) {
  const std::string& path = claimed.path;
  const bool ends = of_.stopping_;
  // Another mount of the tree may have stored later names, or seen these to have ended: the cache
  // knows.  Only of what was left to it a moment before the end it may not know yet.
  Result<std::string> bytes = of_.names_->load(path, ends ? kNamesBytesMax : kHeldRecordsBytesMax);
  if (claimed.record && ends && is_before(bytes, claimed.record->bytes, path)) {
    bytes = claimed.record->bytes;
  }
  // Not there yet, or too large to be read again and again before the end.
  if (!bytes.ok()) return false;
  const std::string amended = add_targets(
      bytes.value(), path, [&](const OriginEntry& link) { return target_of(id, link); });
  const std::optional<NamesDecoder> decoder = NamesDecoder::open(amended, path);
  if (!decoder || decoder->entries_crc() != claimed.crc || !is_wanted(id, claimed)) return true;
  Ref<Cookie> saved = of_.names_->save(path, amended);
  if (!saved) return false;
  // A drop may have been too early for this.
  if (!is_wanted(id, claimed)) of_.names_->discard(std::move(saved));
  return true;
}

std::optional<std::string> FileSystem::LateTargets::target_of(fuse::NodeId directory,
                                                              const OriginEntry& link) {
  sync::MutexLock lock(of_.table_.mutex);
  Node* above = of_.table_.find(directory);
  const Node* node = above == nullptr ? nullptr : of_.table_.child(*above, link.name);
  const bool same = node != nullptr && InodeTable::same_version(*node, link.info);
  if (!same || node->target() == nullptr) return {};
  return *node->target();
}

// False: dropped meanwhile, or there is a later one.
bool FileSystem::LateTargets::is_wanted(fuse::NodeId id, const Claimed& claimed) {
  sync::MutexLock lock(of_.table_.mutex);
  const Node* node = of_.table_.find(id);
  if (node == nullptr || !node->directory) return false;
  const KeptNames& kept = node->directory->kept;
  return kept.saved_at != MonoTime() && kept.crc == claimed.crc && kept.saves == claimed.saves;
}

}  // namespace netfs::vfs
