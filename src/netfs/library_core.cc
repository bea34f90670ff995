#include "netfs/library_core.h"

#include <algorithm>
#include <utility>

#include "netfs/offload.h"
#include "netfs/origin_writer.h"
#include "netfs/remote_file.h"

namespace netfs {

namespace {

constexpr unsigned kWaitingThreads = 16;  // opens and stats of the origin at a time
constexpr unsigned kOpeningThreads = 16;  // opens for nobody yet
constexpr size_t kHandlesMax = 128;       // open at the origin and idle
constexpr size_t kIdleBlocksAtOnce = 8;
// Blocks that were fetched ahead are not let go of before this: their reader is on his way.
constexpr Duration kUnreadFor = std::chrono::seconds(5);

}  // namespace

namespace {

bool reuses_paths(Origin& origin) {
  const OriginWriter* writer = origin.writer();
  return writer != nullptr && !origin.capabilities().identity &&
         writer->write_capabilities().validator_can_be_set;
}

// Whether `path` is `top` or lies beneath it.
bool lies_in(const std::string& path, const std::string& top) {
  return path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/');
}

}  // namespace

LibraryCore::LibraryCore(Library::Options with)
    : options(std::move(with)),
      capabilities(options.origin.capabilities()),
      ahead(capabilities.reads_ahead),
      dirty(options.write_behind_bytes),
      timers({.name = "netfs-timer", .threads = 1}),
      waiting({.name = "netfs-wait", .threads = kWaitingThreads}),
      opening({.name = "netfs-open", .threads = kOpeningThreads}),
      readers({.name = "netfs-read", .threads = options.read_threads}),
      paths_are_reused_(reuses_paths(options.origin)) {
  if (options.volume) use_cache(options.volume, *options.offload);
}

void LibraryCore::use_cache(Ref<Volume> volume, Offload& offload) {
  held_volume_ = std::move(volume);
  offload_ = &offload;
  volume_.store(held_volume_.get(), std::memory_order_release);
}

bool LibraryCore::make_room(size_t bytes) {
  const BufferPool& pool = options.pool;
  const size_t used = pool.used_bytes();
  if (used + bytes <= pool.budget_bytes()) return true;
  const size_t wanted = used + bytes - pool.budget_bytes();
  for (const BlockMemory::Victim& victim : memory.take_oldest(wanted, now() - kUnreadFor)) {
    victim.file->drop(*victim.fetch);
  }
  return pool.used_bytes() + bytes <= pool.budget_bytes();
}

void LibraryCore::drop_idle_blocks() {
  for (const BlockMemory::Victim& victim : memory.take_idle(kIdleBlocksAtOnce)) {
    victim.file->drop(*victim.fetch);
  }
}

void LibraryCore::pump_ahead() {
  while (const Ref<RemoteFile> file = ahead.next(link.under_way_bytes())) file->pump();
}

bool LibraryCore::list(Request& request) {
  bool first = false;
  if (!requests.add(request, first)) return false;
  if (first) arm_timer(request.deadline);
  return true;
}

void LibraryCore::arm_timer(MonoTime at) {
  Ref<LibraryCore> self(this);
  // Refused only when the library closes, and then every request is ended anyway.
  (void)timers.post_at(at, [self = std::move(self)] { time_out_requests(self); });
}

void LibraryCore::time_out_requests(const Ref<LibraryCore>& core) {
  const MonoTime now = core->now();
  for (const Ref<Request>& request : core->requests.expired(now)) {
    // What is held back is asked again.
    const MonoTime until = std::min(request->waits_until(), now + core->options.timeout);
    if (until > now) {
      core->requests.postpone(*request, until);
      continue;
    }
    core->stats.timeouts.add();
    request->end(Error(ETIMEDOUT, "netfs.request"));
  }
  const MonoTime next = core->requests.next_expiry();
  if (next != MonoTime::max()) core->arm_timer(next);
}

void LibraryCore::cancel_requests() {
  requests.close();
  for (const Ref<Request>& request : requests.all()) {
    stats.canceled.add();
    request->end(Error(ECANCELED, "netfs.close"));
  }
}

void LibraryCore::subrequest_opened() {
  stats.subrequests_open.fetch_add(1);
}

void LibraryCore::subrequest_closed() {
  if (stats.subrequests_open.fetch_sub(1) != 1 || !closing) return;
  sync::MutexLock lock(mutex_);
  no_subrequest_.notify_all();
}

bool LibraryCore::wait_for_subrequests(Deadline until) {
  sync::MutexLock lock(mutex_);
  while (stats.subrequests_open.load() > 0) {
    if (!no_subrequest_.wait_until(mutex_, until.at)) return stats.subrequests_open.load() == 0;
  }
  return true;
}

Ref<RemoteFile> LibraryCore::find_file(const std::string& key) {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(key);
  // One that was given up a moment ago may not have been taken out yet.
  if (found == files_.end() || found->second->superseded()) return nullptr;
  if (!found->second->ref_try_get()) return nullptr;
  return Ref<RemoteFile>::adopt(found->second);
}

Ref<RemoteFile> LibraryCore::enter_file(const std::string& key, Ref<RemoteFile> file) {
  sync::MutexLock lock(mutex_);
  RemoteFile*& entry = files_[key];
  const bool good = entry != nullptr && !entry->superseded();
  if (good && entry->ref_try_get()) return Ref<RemoteFile>::adopt(entry);
  entry = file.get();
  return file;
}

void LibraryCore::forget_file(const std::string& key, const RemoteFile* file) {
  sync::MutexLock lock(mutex_);
  const auto found = files_.find(key);
  if (found != files_.end() && found->second == file) files_.erase(found);
}

void LibraryCore::forget_stored(const std::string& path, ForgetScope scope) {
  if (!paths_are_reused_ || volume() == nullptr || closing) return;
  stats.forgotten.add();
  std::vector<Ref<RemoteFile>> open;
  bool queue = false;
  {
    sync::MutexLock lock(mutex_);
    // What is queued already will do: nothing has been stored of the path since.
    const bool queued_already = scope == ForgetScope::kFile && forgetting_.contains(path);
    if (!queued_already) ++forgetting_[path];
    queue = !queued_already;
    forgetting_count_.store(forgetting_.size());
    for (const auto& [key, file] : files_) {
      const std::string& at = file->version().path;
      const bool meant = scope == ForgetScope::kTree ? lies_in(at, path) : at == path;
      if (meant && file->ref_try_get()) open.push_back(Ref<RemoteFile>::adopt(file));
    }
  }
  // Who has them open reads them as another version, or not at all.
  for (const Ref<RemoteFile>& file : open) file->supersede();
  if (!queue) return;
  Ref<LibraryCore> self(this);
  const bool queued = offload().forget({.volume = held_volume_, .path = path, .scope = scope},
                                       [self = std::move(self), path] { self->forgotten(path); });
  if (!queued) forgotten(path);  // the cache is being closed
}

void LibraryCore::forgotten(const std::string& path) {
  sync::MutexLock lock(mutex_);
  const auto found = forgetting_.find(path);
  if (found == forgetting_.end()) return;
  if (--found->second == 0) forgetting_.erase(found);
  forgetting_count_.store(forgetting_.size());
}

bool LibraryCore::is_being_forgotten(const std::string& path) {
  if (forgetting_count_.load() == 0) return false;
  sync::MutexLock lock(mutex_);
  // It, or a directory it lies in.
  for (size_t end = path.size();;) {
    if (forgetting_.contains(path.substr(0, end))) return true;
    const size_t slash = end == 0 ? std::string::npos : path.rfind('/', end - 1);
    if (slash == std::string::npos) return false;
    end = slash;
  }
}

void LibraryCore::handle_opened(RemoteFile& file) {
  Ref<RemoteFile> oldest;
  {
    sync::MutexLock lock(mutex_);
    handles_.remove(&file);
    handles_.push_back(&file);
    if (handles_.size() <= kHandlesMax) return;
    RemoteFile* first = handles_.front();
    // Busy ones get another turn; the file's destructor takes it out, so the pointer is good.
    handles_.splice(handles_.end(), handles_, handles_.begin());
    if (!first->ref_try_get()) return;
    oldest = Ref<RemoteFile>::adopt(first);
  }
  if (oldest->close_idle_handle()) forget_handle(oldest.get());
}

void LibraryCore::forget_handle(RemoteFile* file) {
  sync::MutexLock lock(mutex_);
  handles_.remove(file);
}

}  // namespace netfs
