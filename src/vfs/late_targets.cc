#include "vfs/late_targets.h"

#include <utility>

#include "vfs/limits.h"

namespace netfs::vfs {

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
  for (const uint64_t id : directories) {
    if (!store_one(fuse::NodeId(id))) add(fuse::NodeId(id));
  }
}

// False: it is to be looked at again.
bool FileSystem::LateTargets::store_one(fuse::NodeId id) {
  Claimed claimed;
  const Next next = claim(id, claimed);
  if (next != Next::kStore) return next == Next::kNothing;
  store(id, claimed);
  sync::MutexLock lock(of_.table_.mutex);
  Node* node = of_.table_.find(id);
  if (node == nullptr) return true;
  --node->directory->kept.saving;
  return node->directory->kept.record == nullptr;
}

FileSystem::LateTargets::Next FileSystem::LateTargets::claim(fuse::NodeId id, Claimed& claimed) {
  const MonoTime now = of_.clock_.now();
  sync::MutexLock lock(of_.table_.mutex);
  const Node* node = of_.table_.find(id);
  if (node == nullptr || !node->directory || !InodeTable::is_current(*node)) return Next::kNothing;
  KeptNames& kept = node->directory->kept;
  claimed.record = kept.record;
  if (kept.record && now - kept.record->since >= kHeldRecordsFor) kept.record = nullptr;
  // Where nothing is stored what was learnt waits for the next listing.
  if (!kept.learnt || kept.saved_at == MonoTime()) {
    return kept.record ? Next::kLater : Next::kNothing;
  }
  const bool was_just_now =
      kept.amended_at != MonoTime() && now - kept.amended_at < kNamesResave && !of_.stopping_;
  if (kept.saving > 0 || was_just_now) return Next::kLater;
  kept.learnt = false;
  kept.amended_at = now;
  ++kept.saving;
  claimed.path = InodeTable::path_of(*node);
  claimed.crc = kept.crc;
  claimed.saves = kept.saves;
  return Next::kStore;
}

void FileSystem::LateTargets::store(fuse::NodeId id, const Claimed& claimed) {
  const std::string& path = claimed.path;
  Result<std::string> loaded = std::string();
  if (!claimed.record) loaded = of_.names_->load(path);
  if (!loaded.ok()) return;
  const std::string amended =
      add_targets(claimed.record ? claimed.record->bytes : loaded.value(), path,
                  [&](const OriginEntry& link) { return target_of(id, link); });
  const std::optional<NamesDecoder> decoder = NamesDecoder::open(amended, path);
  // That of another process may be there by now.
  if (!decoder || decoder->entries_crc() != claimed.crc || !is_wanted(id, claimed)) return;
  Ref<Cookie> saved = of_.names_->save(path, amended);
  // Without room for it what is stored stays as it is.  A drop may have been too early for this.
  if (saved && !is_wanted(id, claimed)) of_.names_->discard(std::move(saved));
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
