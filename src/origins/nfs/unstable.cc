#include "origins/nfs/unstable.h"

#include <algorithm>
#include <cerrno>
#include <functional>
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

bool Unstable::is_owed(const Handle& handle) const {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  return found != files_.end() && (!found->second.held.empty() || has_lost_its_time(found->second));
}

bool Unstable::holds_beyond(const Handle& handle, uint64_t size_bytes) const {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end() || found->second.held.empty()) return false;
  const auto& [offset, extent] = *found->second.held.rbegin();
  return offset + extent.bytes.size() > size_bytes;
}

std::vector<Handle> Unstable::files() const {
  std::vector<std::pair<uint64_t, Handle>> found;
  {
    sync::MutexLock lock(mutex_);
    for (const auto& [handle, file] : files_) {
      if (!file.held.empty()) found.emplace_back(file.held_bytes, handle);
    }
  }
  std::sort(found.begin(), found.end(), std::greater<>());
  std::vector<Handle> files;
  files.reserve(found.size());
  for (auto& [bytes, handle] : found) files.push_back(std::move(handle));
  return files;
}

std::vector<Handle> Unstable::files_held_since(MonoTime then) const {
  sync::MutexLock lock(mutex_);
  std::vector<Handle> files;
  for (const auto& [handle, file] : files_) {
    if (!file.held.empty() && file.held_since <= then) files.push_back(handle);
  }
  return files;
}

bool Unstable::begin_write(const Handle& handle, WriteSubrequest& write) {
  sync::MutexLock lock(mutex_);
  File& file = files_[handle];
  if (file.alone) {
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
  file.mtime.reset();
  drop_locked(file, offset, offset + bytes.size());
  if (stable) return tidy_locked(handle);
  if (file.held.empty()) file.held_since = Clock::system().now();
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

void Unstable::time_set(const Handle& handle, const std::optional<Timestamp>& mtime) {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end()) return;
  found->second.mtime = mtime;
  tidy_locked(handle);
}

std::optional<Timestamp> Unstable::lost_time(const Handle& handle) const {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end() || !has_lost_its_time(found->second)) return std::nullopt;
  return found->second.mtime;
}

void Unstable::forget_time(const Handle& handle) {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end()) return;
  found->second.written_again = false;
  tidy_locked(handle);
}

void Unstable::forget(const Handle& handle) {
  time_set(handle, std::nullopt);
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
  all = all && !has_lost_its_time(file);
  if (all) {
    file.held_since = Clock::system().now();
    file.failures = 0;
    file.error = 0;
    file.stale_since.reset();
  }
  tidy_locked(handle);
  return all;
}

Result<void> Unstable::begin_alone(const Handle& handle, Deadline deadline,
                                   std::vector<WriteSubrequest*>& parked) {
  sync::MutexLock lock(mutex_);
  while (files_[handle].alone) {
    if (!quiet_.wait_until(mutex_, deadline.at)) return Error(ETIMEDOUT, "nfs.rewrite");
  }
  files_[handle].alone = true;
  while (files_[handle].writes > 0) {
    if (quiet_.wait_until(mutex_, deadline.at) || files_[handle].writes == 0) continue;
    parked = end_alone_locked(handle);
    return Error(ETIMEDOUT, "nfs.rewrite");
  }
  return {};
}

std::optional<Unstable::Lost> Unstable::next_lost(const Handle& handle, uint64_t mark,
                                                  const Verifier& verifier, uint64_t from,
                                                  uint64_t most_bytes) const {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end()) return std::nullopt;
  const auto& held = found->second.held;
  auto at = held.upper_bound(from);
  if (at != held.begin()) --at;
  for (; at != held.end(); ++at) {
    const auto& [begin, extent] = *at;
    const uint64_t skipped = from > begin ? from - begin : 0;
    if (skipped >= extent.bytes.size()) continue;
    if (extent.mark > mark || extent.verifier == verifier) continue;
    return Lost{begin + skipped, extent.bytes.substr(skipped, most_bytes)};
  }
  return std::nullopt;
}

void Unstable::stored(const Handle& handle, uint64_t offset, uint64_t length) {
  sync::MutexLock lock(mutex_);
  File& file = files_[handle];
  file.written_again = true;
  drop_locked(file, offset, offset + length);
}

std::vector<WriteSubrequest*> Unstable::end_alone(const Handle& handle) {
  sync::MutexLock lock(mutex_);
  return end_alone_locked(handle);
}

std::vector<WriteSubrequest*> Unstable::end_alone_locked(const Handle& handle) {
  File& file = files_[handle];
  file.alone = false;
  std::vector<WriteSubrequest*> parked = std::exchange(file.parked, {});
  tidy_locked(handle);
  quiet_.notify_all();
  return parked;
}

Unstable::Failing Unstable::commit_failed(const Handle& handle, int error, MonoTime now) {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end()) return {};
  File& file = found->second;
  ++file.failures;
  file.error = error;
  if (error != ESTALE) {
    file.stale_since.reset();
    return {.failures = file.failures};
  }
  if (!file.stale_since) file.stale_since = now;
  return {.failures = file.failures, .stale = now - *file.stale_since};
}

void Unstable::not_stale(const Handle& handle) {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  if (found != files_.end()) found->second.stale_since.reset();
}

uint64_t Unstable::give_up(const Handle& handle) {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end() || found->second.held.empty()) return 0;
  const uint64_t bytes = found->second.held_bytes;
  drop_locked(found->second, 0, UINT64_MAX);
  found->second.mtime.reset();
  found->second.given_up = true;
  found->second.failures = 0;
  found->second.error = 0;
  found->second.stale_since.reset();
  any_given_up_ = true;
  return bytes;
}

bool Unstable::take_given_up(const Handle& handle) {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(handle);
  if (found == files_.end() || !found->second.given_up) return false;
  found->second.given_up = false;
  tidy_locked(handle);
  return true;
}

bool Unstable::take_given_up() {
  sync::MutexLock lock(mutex_);
  return std::exchange(any_given_up_, false);
}

Unstable::Refused Unstable::refused() const {
  sync::MutexLock lock(mutex_);
  Refused refused;
  for (const auto& [handle, file] : files_) {
    if (file.error == 0) continue;
    refused.bytes += file.held_bytes;
    refused.error = file.error;
  }
  return refused;
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
  if (file.held.empty() && file.writes == 0 && !file.alone && !file.given_up &&
      !has_lost_its_time(file)) {
    files_.erase(found);
  }
}

}  // namespace netfs::origins::nfs
