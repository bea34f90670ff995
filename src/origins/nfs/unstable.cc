#include "origins/nfs/unstable.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace netfs::origins::nfs {

bool Unstable::is_full() const {
  sync::MutexLock lock(mutex_);
  return bytes_ >= bytes_max_;
}

uint64_t Unstable::held_bytes() const {
  sync::MutexLock lock(mutex_);
  return bytes_;
}

uint64_t Unstable::held_bytes(const Handle& file) const {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(file);
  return found == files_.end() ? 0 : found->second.held_bytes;
}

std::vector<Handle> Unstable::files() const {
  sync::MutexLock lock(mutex_);
  std::vector<Handle> files;
  for (const auto& [handle, file] : files_) {
    if (!file.held.empty()) files.push_back(handle);
  }
  return files;
}

bool Unstable::begin_write(const Handle& handle, WriteSubrequest& write) {
  sync::MutexLock lock(mutex_);
  File& file = files_[handle];
  if (file.rewritten) {
    file.parked.push_back(&write);
    return false;
  }
  ++file.writes;
  return true;
}

void Unstable::wrote(const Handle& handle, uint64_t offset, std::span<const std::byte> bytes,
                     const Verifier& verifier, bool stable) {
  if (bytes.empty()) return;
  Extent extent;
  if (!stable) {
    extent.bytes.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    extent.verifier = verifier;
  }
  sync::MutexLock lock(mutex_);
  File& file = files_[handle];
  drop_locked(file, offset, offset + bytes.size());
  if (stable) return tidy_locked(handle);
  extent.mark = ++mark_;
  hold_locked(file, offset, std::move(extent));
}

std::vector<WriteSubrequest*> Unstable::take_overdue(MonoTime now) {
  sync::MutexLock lock(mutex_);
  std::vector<WriteSubrequest*> overdue;
  for (auto& [handle, file] : files_) {
    const auto late = std::stable_partition(
        file.parked.begin(), file.parked.end(),
        [&](const WriteSubrequest* write) { return !write->deadline().passed(now); });
    overdue.insert(overdue.end(), late, file.parked.end());
    file.parked.erase(late, file.parked.end());
  }
  return overdue;
}

bool Unstable::wants_commit(const Handle& handle) {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  return found != files_.end() && !std::exchange(found->second.commit_wanted, true);
}

void Unstable::commit_begins(const Handle& handle) {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  if (found != files_.end()) found->second.commit_wanted = false;
}

void Unstable::end_write(const Handle& handle) {
  sync::MutexLock lock(mutex_);
  --files_[handle].writes;
  tidy_locked(handle);
  quiet_.notify_all();
}

void Unstable::truncated(const Handle& handle, uint64_t size_bytes) {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end()) return;
  drop_locked(found->second, size_bytes, UINT64_MAX);
  tidy_locked(handle);
}

void Unstable::forget(const Handle& handle) {
  truncated(handle, 0);
}

uint64_t Unstable::mark() const {
  sync::MutexLock lock(mutex_);
  return mark_;
}

bool Unstable::committed(const Handle& handle, uint64_t mark, const Verifier& verifier) {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end()) return true;
  File& file = found->second;
  bool all = true;
  for (auto at = file.held.begin(); at != file.held.end();) {
    const Extent& extent = at->second;
    if (extent.mark > mark) {
      ++at;
    } else if (extent.verifier != verifier) {
      all = false;
      ++at;
    } else {
      file.held_bytes -= extent.bytes.size();
      bytes_ -= extent.bytes.size();
      at = file.held.erase(at);
    }
  }
  tidy_locked(handle);
  return all;
}

Result<void> Unstable::begin_rewrite(const Handle& handle, Deadline deadline,
                                     std::vector<WriteSubrequest*>& parked) {
  sync::MutexLock lock(mutex_);
  while (files_[handle].rewritten) {
    if (!quiet_.wait_until(mutex_, deadline.at)) return Error(ETIMEDOUT, "nfs.rewrite");
  }
  files_[handle].rewritten = true;
  while (files_[handle].writes > 0) {
    if (quiet_.wait_until(mutex_, deadline.at) || files_[handle].writes == 0) continue;
    parked = end_rewrite_locked(handle);
    return Error(ETIMEDOUT, "nfs.rewrite");
  }
  return {};
}

std::vector<Unstable::Lost> Unstable::lost(const Handle& handle, uint64_t mark,
                                           const Verifier& verifier) const {
  sync::MutexLock lock(mutex_);
  std::vector<Lost> lost;
  const auto found = files_.find(handle);
  if (found == files_.end()) return lost;
  for (const auto& [offset, extent] : found->second.held) {
    if (extent.mark <= mark && extent.verifier != verifier) lost.push_back({offset, extent.bytes});
  }
  return lost;
}

void Unstable::stored(const Handle& handle, uint64_t offset, uint64_t length) {
  sync::MutexLock lock(mutex_);
  drop_locked(files_[handle], offset, offset + length);
}

std::vector<WriteSubrequest*> Unstable::end_rewrite(const Handle& handle) {
  sync::MutexLock lock(mutex_);
  return end_rewrite_locked(handle);
}

std::vector<WriteSubrequest*> Unstable::end_rewrite_locked(const Handle& handle) {
  File& file = files_[handle];
  file.rewritten = false;
  std::vector<WriteSubrequest*> parked = std::exchange(file.parked, {});
  tidy_locked(handle);
  quiet_.notify_all();
  return parked;
}

// What an extent has before and behind the range stays held, with the life it had.
void Unstable::drop_locked(File& file, uint64_t from, uint64_t to) {
  auto at = file.held.upper_bound(from);
  if (at != file.held.begin()) --at;
  while (at != file.held.end() && at->first < to) {
    const uint64_t begin = at->first;
    const uint64_t end = begin + at->second.bytes.size();
    if (end <= from) {
      ++at;
      continue;
    }
    Extent old = std::move(at->second);
    at = file.held.erase(at);
    file.held_bytes -= old.bytes.size();
    bytes_ -= old.bytes.size();
    if (end > to) {
      hold_locked(file, to, {old.bytes.substr(to - begin), old.verifier, old.mark});
    }
    if (begin < from) {
      old.bytes.resize(from - begin);
      hold_locked(file, begin, std::move(old));
    }
  }
}

void Unstable::hold_locked(File& file, uint64_t offset, Extent extent) {
  file.held_bytes += extent.bytes.size();
  bytes_ += extent.bytes.size();
  file.held.insert_or_assign(offset, std::move(extent));
}

void Unstable::tidy_locked(const Handle& handle) {
  const auto found = files_.find(handle);
  if (found == files_.end()) return;
  const File& file = found->second;
  if (file.held.empty() && file.writes == 0 && !file.rewritten) files_.erase(found);
}

}  // namespace netfs::origins::nfs
