#include "daemon/mounts.h"

#include <algorithm>
#include <sys/stat.h>

#include "daemon/mount_checks.h"
#include "daemon/mount_state.h"
#include "fuse/mount_table.h"
#include "origins/url.h"
#include "telemetry/log.h"
#include "vfs/saved_locks.h"

namespace netfs::daemon {

namespace {

constexpr Duration kInitTimeout = std::chrono::seconds(20);
constexpr Duration kNoticeTimeout = std::chrono::seconds(2);
constexpr Duration kCloseTimeout = std::chrono::seconds(20);
constexpr Duration kSlowStart = std::chrono::seconds(5);
constexpr Duration kAdoptPause = std::chrono::milliseconds(500);

bool is_mounted(const std::string& mount_point, const std::string& url) {
  const Result<std::optional<fuse::MountEntry>> there = fuse::find_mount(mount_point);
  return there.ok() && there.value() && there.value()->source == url;
}

}  // namespace

Mounts::Mounts(SupervisorLink& link, SharedStore& store, Changed changed)
    : link_(link), store_(store), changed_(std::move(changed)) {}

Mounts::~Mounts() {
  bury();
}

Result<uint64_t> Mounts::mount(const Request& request) {
  MountInstance::Spec spec = TRY(plan(request));
  wait_for_predecessors(spec.url, spec.mount_point);
  const uint64_t id = link_.new_id();
  {
    const sync::MutexLock lock(mutex_);
    if (stopping_) return Error(ESHUTDOWN, "mount", "the daemon is ending; try again");
    for (const auto& [number, entry] : entries_) {
      if (entry.mount_point == spec.mount_point && !entry.detached) {
        return Error(EBUSY, "mount",
                     fmt::format("{} is a mount point of {} already; unmount it first",
                                 entry.mount_point, entry.url));
      }
    }
    entries_[id] = Entry{.url = spec.url, .mount_point = spec.mount_point};
  }
  const Result<void> up = bring_up(id, std::move(spec));
  if (!up.ok()) {
    remove(id);
    return up.error();
  }
  return id;
}

Result<MountInstance::Spec> Mounts::plan(const Request& request) {
  MountInstance::Spec spec{.url = request.url,
                           .mount_point = request.target,
                           .options = TRY(parse_options(request.options)),
                           .words = request.options};
  const origins::Url url = TRY(origins::Url::parse(spec.url));
  if (spec.mount_point.empty() || spec.mount_point.front() != '/') {
    return Error(EINVAL, "mount",
                 fmt::format("mount point '{}' is not absolute", spec.mount_point));
  }
  MountPlan check{.mount_point = spec.mount_point, .cache_dir = store_.options().cache_dir};
  if (url.scheme == "file") check.local_origin = resolved(url.path);
  {
    const sync::MutexLock lock(mutex_);
    for (const auto& [id, entry] : entries_) {
      if (!entry.detached) check.own_mounts.push_back(entry.mount_point);
    }
  }
  TRY(check_plan(check));
  return spec;
}

bool Mounts::predecessor_ends_locked(const std::string& url, const std::string& mount_point) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& item) {
    const Entry& entry = item.second;
    return entry.state == State::kEnding && (entry.url == url || entry.mount_point == mount_point);
  });
}

void Mounts::wait_for_predecessors(const std::string& url, const std::string& mount_point) {
  // umount(2) returns before its daemon has noticed: a mount that the kernel no longer shows is
  // about to end.
  std::vector<uint64_t> unnoticed;
  {
    const sync::MutexLock lock(mutex_);
    for (const auto& [id, entry] : entries_) {
      if (entry.state != State::kServing || entry.detached) continue;
      if (entry.url != url && entry.mount_point != mount_point) continue;
      unnoticed.push_back(id);
    }
  }
  for (const uint64_t id : unnoticed) {
    std::string where;
    std::string source;
    {
      const sync::MutexLock lock(mutex_);
      const auto it = entries_.find(id);
      if (it == entries_.end()) continue;
      where = it->second.mount_point;
      source = it->second.url;
    }
    if (is_mounted(where, source)) continue;
    const Deadline deadline = Deadline::within(kNoticeTimeout);
    const sync::MutexLock lock(mutex_);
    while (true) {
      const auto it = entries_.find(id);
      if (it == entries_.end() || it->second.state != State::kServing) break;
      if (!moved_.wait_until(mutex_, deadline.at)) break;
    }
  }
  const Deadline deadline = Deadline::within(kPredecessorTimeout);
  const sync::MutexLock lock(mutex_);
  while (predecessor_ends_locked(url, mount_point)) {
    if (!moved_.wait_until(mutex_, deadline.at)) return;
  }
}

Result<void> Mounts::bring_up(uint64_t id, MountInstance::Spec spec) {
  TRY(fuse::check_mount_point(spec.mount_point));
  TRY(store_.open());
  if (spec.options.asked_read_write && spec.options.read_only) {
    telemetry::log_info(kRoom, "{} is mounted read-only: --write=close makes it writable",
                        spec.url);
  }
  Ref<MountInstance> instance = TRY(MountInstance::prepare(
      std::move(spec), store_, nullptr,
      {.memory = nullptr, .origin = {}, .descriptors = make_ref<KeptDescriptors>(link_, id)}));
  const MountInstance::Spec& made = instance->spec();
  Result<std::vector<UniqueFd>> fds = link_.mount(
      id, instance->kernel_mount(), encode(instance->state()), Deadline::within(kOperationTimeout));
  if (!fds.ok()) {
    instance->close(Deadline::within(kCloseTimeout));
    return fds.error();
  }
  const Result<void> served =
      instance->serve(std::move(fds).value(), std::nullopt, Deadline::within(kInitTimeout));
  if (!served.ok()) {
    const Result<void> gone = link_.unmount(made.mount_point, fuse::UnmountMode::kForce,
                                            Deadline::within(kOperationTimeout));
    if (!gone.ok()) telemetry::log_error(kRoom, "{}", gone.error().message());
    instance->close(Deadline::within(kCloseTimeout));
    link_.release(id);
    return served.error();
  }
  link_.keep(id, encode(instance->state()), instance->arena());
  telemetry::log_info(kRoom, "{} is mounted on {}", made.url, made.mount_point);
  serve_from_now(id, instance);
  return {};
}

void Mounts::serve_from_now(uint64_t id, const Ref<MountInstance>& instance) {
  bool late = false;
  {
    const sync::MutexLock lock(mutex_);
    late = stopping_;
    Entry& entry = entries_[id];
    entry.instance = instance;
    entry.state = State::kServing;
    entry.keeper = std::make_unique<sync::Thread>("netfs-keeper",
                                                  [this, id, instance] { keep(id, instance); });
    moved_.notify_all();
  }
  changed_();
  if (late) unmount_number(id);  // stop_all() could not see it
  instance->use_late_cache();    // nor could use_late_cache()
}

// The cache is there that those who were adopted had to do without.
void Mounts::use_late_cache() {
  for (const Ref<MountInstance>& mount : find("")) mount->use_late_cache();
}

void Mounts::keep(uint64_t id, const Ref<MountInstance>& instance) {
  instance->wait_ended(Deadline::never());
  {
    const sync::MutexLock lock(mutex_);
    if (leaving_) return;  // it has not ended
    entries_[id].state = State::kEnding;
    moved_.notify_all();
  }
  instance->close(Deadline::within(kCloseTimeout));
  link_.release(id);
  telemetry::log_info(kRoom, "{} is unmounted from {}", instance->spec().url,
                      instance->spec().mount_point);
  {
    const sync::MutexLock lock(mutex_);
    *entries_[id].left = instance->left_behind().line();
  }
  remove(id);
}

void Mounts::remove(uint64_t id) {
  Ref<MountInstance> last;
  {
    const sync::MutexLock lock(mutex_);
    const auto it = entries_.find(id);
    if (it == entries_.end()) return;
    last = std::move(it->second.instance);
    if (it->second.keeper) graveyard_.push_back(std::move(it->second.keeper));
    entries_.erase(it);
    moved_.notify_all();
  }
  last = nullptr;  // what it frees is freed under no lock
  changed_();
}

Result<Ref<MountInstance>> Mounts::prepare_again(const MountInstance::Spec& spec,
                                                 const MountInstance::Left& left) {
  Deadline deadline = Deadline::within(spec.options.timeout);
  while (true) {
    const MonoTime begun = Clock::system().now();
    Result<Ref<MountInstance>> instance = MountInstance::prepare(spec, store_, nullptr, left);
    if (instance.ok()) return instance;
    // It stood at a disk that was frozen, where the worker before stands too, and ends now.
    if (instance.is_error(EBUSY) && Clock::system().now() - begun > kSlowStart) {
      deadline = Deadline::within(spec.options.timeout);
    }
    telemetry::log_warn(kRoom, "{} cannot be taken over yet: {}", spec.mount_point,
                        instance.error().message());
    // Unmounted meanwhile, and nobody needs it any more.
    if (!is_mounted(spec.mount_point, spec.url)) return instance;
    const MonoTime now = Clock::system().now();
    const sync::MutexLock lock(mutex_);
    if (deadline.passed(now) || stopping_) return instance;
    moved_.wait_until(mutex_, std::min(deadline.at, now + kAdoptPause));
  }
}

namespace {

// What the worker before has left of what the kernel knows; null: who has something open hears
// ESTALE.
Ref<vfs::ArenaMemory> take_arena(UniqueFd fd, const MountState& state) {
  if (!fd) return nullptr;
  Result<Ref<vfs::ArenaMemory>> memory = vfs::ArenaMemory::adopt(std::move(fd), vfs::kArenaForm);
  if (memory.ok() && !vfs::SavedLocks::are_whole(memory.value())) {
    memory = Error(EPROTO, "vfs.arena", "what it has of locks is damaged");
  }
  if (memory.ok()) return std::move(memory).value();
  telemetry::log_error(Mounts::kRoom, "{}: what is open in it is lost: {}", state.mount_point,
                       memory.error().message());
  return nullptr;
}

}  // namespace

void Mounts::adopt(Adopted adopted) {
  const auto drop = [&](const Error& error) {
    telemetry::log_error(kRoom, "a mount of the worker before is given up: {}", error.message());
    adopted.fds.clear();
    link_.give_up(adopted.id);  // which ends the connection: its users get errors now
    remove(adopted.id);
  };
  Result<MountState> state = decode_mount_state(adopted.state);
  if (!state.ok()) return drop(state.error());
  Result<MountOptions> options = parse_options(state.value().options);
  if (!options.ok()) return drop(options.error());
  const std::optional<fuse::Negotiated>& negotiated = state.value().negotiated;
  if (negotiated && negotiated->has(fuse::proto::kOverIoUring)) {
    const std::string& mount_point = state.value().mount_point;
    // What was detached by its user is not there any more; what is there then is somebody else's.
    if (is_mounted(mount_point, state.value().url)) {
      const Result<void> done = unmount_path(mount_point, fuse::UnmountMode::kLazy);
      if (!done.ok()) {
        telemetry::log_error(kRoom, "{} stays mounted and dead: {}", mount_point,
                             done.error().message());
      }
    }
    return drop(
        Error(ECONNRESET, "mount",
              fmt::format("{}: over io_uring its requests went with its worker", mount_point)));
  }
  {
    const sync::MutexLock lock(mutex_);
    entries_[adopted.id] =
        Entry{.url = state.value().url, .mount_point = state.value().mount_point, .adopted = true};
  }
  store_.open_or_go_on([this] { use_late_cache(); });
  const Ref<vfs::ArenaMemory> memory = take_arena(std::move(adopted.arena), state.value());
  const MountInstance::Left left{
      .memory = memory,
      .memory_is_lost = memory == nullptr,
      .origin = state.value().origin,
      .descriptors = make_ref<KeptDescriptors>(link_, adopted.id, std::move(adopted.kept))};
  Result<Ref<MountInstance>> instance = prepare_again(
      {state.value().url, state.value().mount_point, options.value(), state.value().options}, left);
  if (!instance.ok()) return drop(instance.error());
  // A connection that was not initialized is asked to by the kernel; the wait is for that.
  const Result<void> served =
      instance.value()->serve(std::move(adopted.fds), negotiated, Deadline::within(kInitTimeout));
  if (!served.ok()) {
    instance.value()->close(Deadline::within(kCloseTimeout));
    return drop(served.error());
  }
  link_.keep(adopted.id, encode(instance.value()->state()), instance.value()->arena());
  telemetry::log_info(kRoom, "{} on {} is served on", state.value().url, state.value().mount_point);
  serve_from_now(adopted.id, instance.value());
}

std::vector<Ref<MountInstance>> Mounts::limit(const std::string& target,
                                              const Bandwidth& bandwidth) {
  const sync::MutexLock lock(changing_);
  std::vector<std::pair<uint64_t, Ref<MountInstance>>> found = find_numbered(target);
  std::vector<Ref<MountInstance>> limited;
  for (auto& [id, mount] : found) {
    mount->limit(bandwidth);
    link_.keep(id, encode(mount->state()));
    limited.push_back(std::move(mount));
  }
  return limited;
}

bool Mounts::empty() const {
  const sync::MutexLock lock(mutex_);
  return entries_.empty();
}

bool Mounts::ended(uint64_t id) const {
  const sync::MutexLock lock(mutex_);
  return entries_.count(id) == 0;
}

void Mounts::bury() {
  std::vector<std::unique_ptr<sync::Thread>> ended;
  const sync::MutexLock lock(mutex_);
  ended.swap(graveyard_);
}

std::vector<std::pair<uint64_t, Ref<MountInstance>>> Mounts::find_numbered(
    const std::string& target) const {
  const sync::MutexLock lock(mutex_);
  std::vector<std::pair<uint64_t, Ref<MountInstance>>> found;
  for (const auto& [id, entry] : entries_) {
    if (!entry.instance) continue;
    if (target.empty() || entry.url == target || lies_under(target, entry.mount_point)) {
      found.emplace_back(id, entry.instance);
    }
  }
  return found;
}

std::vector<Ref<MountInstance>> Mounts::find(const std::string& target) const {
  std::vector<Ref<MountInstance>> found;
  for (auto& [id, mount] : find_numbered(target)) found.push_back(std::move(mount));
  return found;
}

}  // namespace netfs::daemon
