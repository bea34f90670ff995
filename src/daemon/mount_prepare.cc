// How a mount is put together up to what the kernel sees of it: origin, limits, journal, library
// and file system.

#include <algorithm>

#include "base/drawn.h"
#include "daemon/hiding.h"
#include "daemon/mount_instance.h"
#include "netfs/simulated_link.h"
#include "origins/module_loader.h"
#include "origins/url.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr uint64_t kWriteBehindPart = 3;

vfs::Options file_system_options(const MountOptions& options) {
  vfs::Options made;
  made.timeout = options.timeout;
  made.metadata_ttl = options.metadata_ttl;
  // Who wants names looked at anew wants absent ones looked at too.
  made.negative_ttl = std::min(options.negative_ttl, options.metadata_ttl);
  made.revalidate_behind = options.revalidate_behind;
  made.immutable = options.immutable;
  made.hot = options.hot;
  made.on_error = options.on_error;
  made.symlinks = options.symlinks;
  made.uid = options.uid;
  made.gid = options.gid;
  made.umask = options.umask;
  made.asks_for_directories = options.allow_other;  // default_permissions
  made.write = options.write;
  return made;
}

// Where the tree lies at the origin, if the URL says so: "sftp://h/srv/data" does; "h:data" begins
// at a home that is not known here.
std::string remote_root(const std::string& url) {
  const Result<origins::Url> parsed = origins::Url::parse(url);
  const bool known = parsed.ok() && !parsed.value().path.empty() && parsed.value().path[0] == '/';
  return known ? parsed.value().path : std::string();
}

std::string new_mount_id() {
  return fmt::format("{:016x}{:016x}", drawn<uint64_t>(), drawn<uint64_t>());
}

}  // namespace

Result<Ref<MountInstance>> MountInstance::prepare(Spec spec, SharedStore& store, Origin* origin,
                                                  Left left) {
  Ref<MountInstance> instance(new MountInstance(std::move(spec), store));
  TRY(instance->open_parts(origin, std::move(left)));
  return instance;
}

// One that cannot be reached keeps nobody waiting who was known to it before: it comes later.
Result<Origin*> MountInstance::reach_origin(std::optional<KnownOrigin> known) {
  const MountOptions& options = spec_.options;
  origins::OriginRequest request{.url = TRY(origins::Url::parse(spec_.url)),
                                 .options = options.origin,
                                 .timeout = options.timeout};
  request.follows = known && !known->mount_id.empty();
  request.mount_id = request.follows ? known->mount_id : new_mount_id();
  if (!known) {
    opened_ = TRY(origins::open_origin(request));
    known_ = TRY(describe(*opened_, Deadline::after(Clock::system(), options.timeout)));
    known_->mount_id = request.mount_id;
    return opened_.get();
  }
  known->mount_id = request.mount_id;
  std::unique_ptr<LateOrigin> late =
      LateOrigin::create({.known = std::move(*known),
                          .open = [request] { return origins::open_origin(request); },
                          .patience = options.timeout,
                          .timeout = options.timeout,
                          .is_written = options.write != WriteMode::kNo});
  known_ = late->known();
  late_ = late.get();
  opened_ = std::move(late);
  return late_;
}

Result<void> MountInstance::open_parts(Origin* origin, Left left) {
  const MountOptions& options = spec_.options;
  if (origin == nullptr) origin = TRY(reach_origin(std::move(left.origin)));
  volume_key_ = origin->volume_key();
  cache_ = store_.cache_for(volume_key_, options.write != WriteMode::kNo);
  if (!options.simulate.empty()) {
    const Result<LinkShape> shape = parse_link_shape(options.simulate);
    if (!shape.ok()) {
      return Error(EINVAL, "options", fmt::format("option simulate: {}", shape.error().message()));
    }
    link_ = std::make_unique<SimulatedLink>(*origin, shape.value());
    origin = link_.get();
  }
  limited_ = std::make_unique<LimitedOrigin>(*origin);
  limited_->limit(options.bandwidth);
  const bool away = late_ != nullptr && !late_->is_there();
  std::optional<Owner> owner;
  if (left.memory) {
    const std::optional<NodeInfo> root = vfs::InodeTable::root_left_in(left.memory);
    if (root) owner = Owner{root->attributes.uid, root->attributes.gid};
  }
  origin_ = TRY(with_journal(*limited_, owner));
  TRY(mark_writing());
  TRY(drop_names());
  Ref<Volume> volume;
  if (cache_ != nullptr) volume = TRY(cache_.load()->open_volume(volume_key_));
  library_ = TRY(Library::create({.origin = *origin_,
                                  .volume = volume,
                                  .offload = volume ? store_.offload() : nullptr,
                                  .pool = store_.pool(),
                                  .timeout = options.timeout,
                                  .write_behind_bytes = write_behind_bytes()}));
  vfs::Options view = file_system_options(options);
  view.remote_root = remote_root(spec_.url);
  view.hiding =
      hiding_of(cache_ != nullptr ? store_.options().cache_dir : std::string(), volume_key_);
  if (volume && options.write == WriteMode::kNo) {
    names_.emplace(NamesStore::Parts{.volume = volume,
                                     .offload = *store_.offload(),
                                     .pool = store_.pool(),
                                     .boot = this_boot()});
  }
  descriptors_ = std::move(left.descriptors);
  file_system_ = TRY(vfs::FileSystem::create({.origin = *origin_,
                                              .library = *library_,
                                              .options = std::move(view),
                                              .names = names_ ? &*names_ : nullptr,
                                              .memory = std::move(left.memory),
                                              .memory_is_lost = left.memory_is_lost,
                                              .origin_is_away = away,
                                              .keeper = descriptors_.get()}));
  if (options.write != WriteMode::kNo && !file_system_->writable()) {
    telemetry::log_warn("mount", "{} is mounted read-only: its origin cannot be written to",
                        spec_.url);
  }
  return {};
}

// What it has open is read on as it was, and names are not kept before the next worker.  Files are
// handed to the kernel where that was agreed when it was mounted.
void MountInstance::use_late_cache() {
  if (cache_ != nullptr || closed_ || spec_.options.write != WriteMode::kNo) return;
  cachefiles::CacheFiles* cache = store_.cache_for(volume_key_, false);
  // One that was left is seen to by the next worker.
  if (cache == nullptr || WritingMark::is_left(store_.options().cache_dir, volume_key_)) return;
  if (takes_cache_.exchange(true)) return;
  Result<Ref<Volume>> volume = cache->open_volume(volume_key_);
  if (!volume.ok()) {
    telemetry::log_warn("mount", "{} stays without its cache: {}", spec_.mount_point,
                        volume.error().message());
    return;
  }
  library_->use_cache(std::move(volume).value(), *store_.offload());
  cache_ = cache;
}

// With --write=back, in front of it; what such a mount has left must not be passed by.
Result<Origin*> MountInstance::with_journal(Origin& origin, std::optional<Owner> owner) {
  const std::string& directory = store_.options().cache_dir;
  const WriteMode how = spec_.options.write;
  if (how == WriteMode::kBack && origin.writer() != nullptr) {
    back_ = TRY(BackWrites::open(
        directory, origin,
        {.timeout = spec_.options.timeout,
         .size_max = spec_.options.journal_bytes,
         .owner = owner,
         .went_elsewhere = [this](const std::string& path, const std::string& beside) {
           went_elsewhere(path, beside);
         }}));
    return &back_->origin();
  }
  using Before = BackWrites::Left;
  const Before before =
      directory.empty() ? Before::kNothing : BackWrites::look(directory, volume_key_);
  if (before == Before::kNothing) return &origin;
  if (how != WriteMode::kNo && before == Before::kInUse) {
    return Error(EBUSY, "mount", fmt::format("{} is mounted with --write=back", spec_.url));
  }
  if (how != WriteMode::kNo) {
    return Error(EBUSY, "mount",
                 fmt::format("changes of {} wait to be uploaded; mount it with --write=back, and "
                             "netfs sync uploads them",
                             spec_.url));
  }
  telemetry::log_warn("mount",
                      "{}: changes that were made with --write=back are not uploaded, nor shown",
                      spec_.url);
  return &origin;
}

// A good part of the memory that reads have, too.
uint64_t MountInstance::write_behind_bytes() const {
  return spec_.options.write == WriteMode::kClose ? store_.pool().budget_bytes() / kWriteBehindPart
                                                  : 0;
}

// Before the volume is opened: nothing of it is in use.
Result<void> MountInstance::mark_writing() {
  const OriginWriter* writer = origin_->writer();
  const bool may_mistake = writer != nullptr && !origin_->capabilities().identity &&
                           writer->write_capabilities().validator_can_be_set;
  const std::string& directory = store_.options().cache_dir;
  if (!may_mistake || directory.empty()) return {};
  const bool writes = spec_.options.write != WriteMode::kNo;
  if (cache_ == nullptr) {
    if (writes) store_.distrust(volume_key_);
    return {};
  }
  if (!writes && !WritingMark::is_left(directory, volume_key_)) return {};
  mark_.emplace(directory, volume_key_);
  const Result<WritingMark::Found> found = mark_->set();
  if (!found.ok()) return found.error();
  if (found.value() == WritingMark::Found::kNothing) return {};
  const uint64_t dropped = TRY(cache_.load()->drop(volume_key_, ""));
  telemetry::log_warn("mount",
                      "{}: a process before this one died while it was written to; {} cached files "
                      "are not trusted and dropped",
                      spec_.url, dropped);
  mark_->trusted();
  return {};
}

// What is changed through this mount is not changed in the names that others have left in the
// cache: before the first change they go, and then those that were on their way.
Result<void> MountInstance::drop_names() {
  const bool writes = spec_.options.write != WriteMode::kNo && origin_->writer() != nullptr;
  if (!writes || cache_ == nullptr) return {};
  changes_names_ = true;
  TRY(cache_.load()->drop_names(volume_key_));
  drop_names_later();
  return {};
}

void MountInstance::drop_names_later() {
  (void)store_.offload()->after_stores([cache = cache_.load(), key = volume_key_] {
    const Result<void> dropped = cache->drop_names(key);
    if (dropped.ok()) return;
    telemetry::log_warn("mount",
                        "what the cache has of names may be older than what was written: {}",
                        dropped.error().message());
  });
}

}  // namespace netfs::daemon
