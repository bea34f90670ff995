#include "netfs/block_memory.h"

#include "netfs/remote_file.h"

namespace netfs {

namespace {

bool was_read(const Fetch& fetch) {
  return fetch.consumed_bytes.load(std::memory_order_relaxed) >= fetch.range.length_bytes;
}

// Fetched ahead of a reader who is on his way.  What a reader asked for himself he has had.
bool is_awaited(const Fetch& fetch, MonoTime unread_before) {
  return fetch.request_id == 0 && !was_read(fetch) && fetch.filled_at >= unread_before;
}

}  // namespace

void BlockMemory::add(Fetch& fetch, RemoteFile& file) {
  sync::MutexLock lock(mutex_);
  fetch.memory_entry = entries_.insert(entries_.end(), {&fetch, &file});
  fetch.in_memory_list = true;
}

void BlockMemory::touch(Fetch& fetch) {
  sync::MutexLock lock(mutex_);
  if (fetch.in_memory_list) entries_.splice(entries_.end(), entries_, fetch.memory_entry);
}

void BlockMemory::remove(Fetch& fetch) {
  sync::MutexLock lock(mutex_);
  if (!fetch.in_memory_list) return;
  fetch.in_memory_list = false;
  entries_.erase(fetch.memory_entry);
}

bool BlockMemory::take_locked(std::list<MemoryEntry>::iterator at, std::vector<Victim>& victims) {
  // The file's destructor takes its blocks out of this list, so the pointer is good here.
  if (!at->file->ref_try_get()) return false;
  victims.push_back({Ref<RemoteFile>::adopt(at->file), Ref<Fetch>(at->fetch)});
  at->fetch->in_memory_list = false;
  entries_.erase(at);
  return true;
}

std::vector<BlockMemory::Victim> BlockMemory::take_idle(size_t count_max) {
  std::vector<Victim> victims;
  sync::MutexLock lock(mutex_);
  size_t looked = 0;
  for (auto at = entries_.begin(); at != entries_.end() && looked < count_max; ++looked) {
    const auto entry = at++;
    const Fetch& fetch = *entry->fetch;
    if ((fetch.ticket || fetch.racy) && fetch.store_is_over() && was_read(fetch))
      take_locked(entry, victims);
  }
  return victims;
}

std::vector<BlockMemory::Victim> BlockMemory::take_oldest(size_t bytes, MonoTime unread_before) {
  std::vector<Victim> victims;
  size_t found = 0;
  sync::MutexLock lock(mutex_);
  for (auto at = entries_.begin(); at != entries_.end() && found < bytes;) {
    const auto entry = at++;
    const Fetch& fetch = *entry->fetch;
    if (!fetch.store_is_over() || is_awaited(fetch, unread_before)) continue;
    const size_t capacity = fetch.buffer->capacity_bytes();
    if (take_locked(entry, victims)) found += capacity;
  }
  return victims;
}

}  // namespace netfs
