#include "daemon/mount_instance.h"

#include <algorithm>
#include <array>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "daemon/bandwidth.h"
#include "daemon/hiding.h"
#include "daemon/mount_checks.h"
#include "fuse/device_channel.h"
#include "fuse/ring_channel.h"
#include "netfs/simulated_link.h"
#include "origins/module_loader.h"
#include "origins/url.h"
#include "sync/thread.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr unsigned kQueuesMax = 4;
constexpr unsigned kReadaheadKib = 1024;
constexpr uint32_t kReadBytesMax = 1 << 20;
constexpr uint64_t kWriteBehindPart = 3;
constexpr Duration kReplyGrace = std::chrono::seconds(2);
constexpr int64_t kOverlayfsMagic = 0x794c7630;

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

bool is_stacked(const std::string& directory) {
  struct statfs disk {};
  return ::statfs(directory.c_str(), &disk) == 0 && disk.f_type == kOverlayfsMagic;
}

}  // namespace

bool may_pass_through() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return false;
  return (data[0].effective & (1U << CAP_SYS_ADMIN)) != 0;
}

Result<Ref<MountInstance>> MountInstance::prepare(Spec spec, SharedStore& store, Origin* origin) {
  Ref<MountInstance> instance(new MountInstance(std::move(spec), store));
  TRY(instance->open_parts(origin));
  return instance;
}

Result<void> MountInstance::open_parts(Origin* origin) {
  const MountOptions& options = spec_.options;
  if (origin == nullptr) {
    origins::OriginRequest request{.url = TRY(origins::Url::parse(spec_.url)),
                                   .options = options.origin,
                                   .timeout = options.timeout};
    opened_ = TRY(origins::open_origin(request));
    origin = opened_.get();
  }
  volume_key_ = origin->volume_key();
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
  origin_ = TRY(with_journal(*limited_));
  TRY(mark_writing());
  TRY(drop_names());
  Ref<Volume> volume;
  if (store_.cache() != nullptr) volume = TRY(store_.cache()->open_volume(volume_key_));
  library_ = TRY(Library::create({.origin = *origin_,
                                  .volume = volume,
                                  .offload = volume ? store_.offload() : nullptr,
                                  .pool = store_.pool(),
                                  .timeout = options.timeout,
                                  .write_behind_bytes = write_behind_bytes()}));
  vfs::Options view = file_system_options(options);
  view.remote_root = remote_root(spec_.url);
  const bool cached = store_.cache() != nullptr;
  view.hiding = hiding_of(cached ? store_.options().cache_dir : std::string(), volume_key_);
  if (volume && options.write == WriteMode::kNo) {
    names_.emplace(NamesStore::Parts{.volume = volume,
                                     .offload = *store_.offload(),
                                     .pool = store_.pool(),
                                     .boot = this_boot()});
  }
  file_system_ = TRY(vfs::FileSystem::create({.origin = *origin_,
                                              .library = *library_,
                                              .options = std::move(view),
                                              .names = names_ ? &*names_ : nullptr}));
  if (options.write != WriteMode::kNo && !file_system_->writable()) {
    telemetry::log_warn("mount", "{} is mounted read-only: its origin cannot be written to",
                        spec_.url);
  }
  return {};
}

// With --write=back, in front of it; what such a mount has left must not be passed by.
Result<Origin*> MountInstance::with_journal(Origin& origin) {
  const std::string& directory = store_.options().cache_dir;
  const WriteMode how = spec_.options.write;
  if (how == WriteMode::kBack && origin.writer() != nullptr) {
    back_ = TRY(BackWrites::open(
        directory, origin,
        {.timeout = spec_.options.timeout,
         .size_max = spec_.options.journal_bytes,
         .went_elsewhere = [this](const std::string& path, const std::string& beside) {
           went_elsewhere(path, beside);
         }}));
    return &back_->origin();
  }
  using Left = BackWrites::Left;
  const Left left = directory.empty() ? Left::kNothing : BackWrites::look(directory, volume_key_);
  if (left == Left::kNothing) return &origin;
  if (how != WriteMode::kNo && left == Left::kInUse) {
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

bool MountInstance::sync(uint64_t& upto, Deadline deadline) {
  if (closed_ || !library_ || library_->writer() == nullptr) return true;
  if (!library_->writer()->settle_all(deadline)) return false;
  if (!back_) return true;
  if (upto == 0) upto = back_->newest();
  return back_->drain(upto, deadline);
}

std::vector<std::string> MountInstance::take_troubles() {
  return back_ ? back_->take_troubles() : std::vector<std::string>();
}

// A good part of the memory that reads have, too.
uint64_t MountInstance::write_behind_bytes() const {
  return spec_.options.write == WriteMode::kClose ? store_.pool().budget_bytes() / kWriteBehindPart
                                                  : 0;
}

// Before the volume is opened: nothing of it is in use.
Result<void> MountInstance::mark_writing() {
  const OriginWriter* writer = origin_->writer();
  const bool may_mistake = store_.cache() != nullptr && writer != nullptr &&
                           !origin_->capabilities().identity &&
                           writer->write_capabilities().validator_can_be_set;
  if (!may_mistake) return {};
  const std::string& directory = store_.options().cache_dir;
  const bool writes = spec_.options.write != WriteMode::kNo;
  if (!writes && !WritingMark::is_left(directory, volume_key_)) return {};
  mark_.emplace(directory, volume_key_);
  const Result<WritingMark::Found> found = mark_->set();
  if (!found.ok()) return found.error();
  if (found.value() == WritingMark::Found::kNothing) return {};
  const uint64_t dropped = TRY(store_.cache()->drop(volume_key_, ""));
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
  if (!writes || store_.cache() == nullptr) return {};
  changes_names_ = true;
  TRY(store_.cache()->drop_names(volume_key_));
  drop_names_later();
  return {};
}

void MountInstance::drop_names_later() {
  (void)store_.offload()->after_stores([cache = store_.cache(), key = volume_key_] {
    const Result<void> dropped = cache->drop_names(key);
    if (dropped.ok()) return;
    telemetry::log_warn("mount",
                        "what the cache has of names may be older than what was written: {}",
                        dropped.error().message());
  });
}

MountInstance::~MountInstance() {
  close(Deadline::after(Clock::system(), kReplyGrace));
}

fuse::MountOptions MountInstance::kernel_mount() const {
  const MountOptions& options = spec_.options;
  return {.source = spec_.url,
          .mount_point = spec_.mount_point,
          .queues = std::min(sync::cpu_count(), kQueuesMax),
          .max_read_bytes = options.over_ring ? fuse::kRingRequestBytes : kReadBytesMax,
          .read_only = options.read_only || !file_system_->writable(),
          .allow_other = options.allow_other,
          .default_permissions = options.allow_other,
          .nosuid = !options.suid,
          .nodev = !options.dev,
          .noexec = !options.exec,
          .noatime = options.noatime};
}

fuse::SessionOptions MountInstance::session_options() const {
  fuse::SessionOptions made;
  made.callers = &store_.callers();
  const auto off = [&made](const char* reason) {
    made.passthrough = false;
    made.passthrough_off_reason = reason;
  };
  made.writable = file_system_->writable();
  // By ACLs the kernel checks permissions, so only where it does.
  made.posix_acls = spec_.options.allow_other && file_system_->has_acls();
  if (made.writable) {
    off("--write: the kernel would not see what is written");
  } else if (spec_.options.verify_always) {
    off("--verify=always");
  } else if (!spec_.options.passthrough) {
    off("--no-passthrough");
  } else if (store_.cache() == nullptr) {
    off("no cache");
  } else if (!may_pass_through()) {
    off("needs root (CAP_SYS_ADMIN)");
  } else if (is_stacked(store_.options().cache_dir)) {
    made.max_stack_depth = 2;
  }
  return made;
}

Result<void> MountInstance::open_channel(std::vector<UniqueFd> fds, fuse::SessionOptions& options) {
  if (spec_.options.over_ring) {
    Result<std::unique_ptr<fuse::RingChannel>> ring = fuse::RingChannel::create(fds);
    options.over_ring = ring.ok();
    if (ring.ok()) {
      channel_ = std::move(ring).value();
      return {};
    }
    options.ring_off_reason = "no io_uring for this process: " + ring.error().message();
  }
  channel_ = TRY(fuse::DeviceChannel::create(std::move(fds)));
  return {};
}

Result<void> MountInstance::serve(std::vector<UniqueFd> fds,
                                  const std::optional<fuse::Negotiated>& before,
                                  Deadline deadline) {
  fuse::SessionOptions options = session_options();
  TRY(open_channel(std::move(fds), options));
  backing_ = std::make_unique<fuse::BackingIds>(*channel_);
  notifier_ = std::make_unique<fuse::Notifier>(*channel_);
  file_system_->attach(backing_.get(), notifier_.get());
  const Clock& clock = Clock::system();
  session_ = TRY(
      before ? fuse::Session::resume(*channel_, *file_system_, std::move(options), clock, *before)
             : fuse::Session::create(*channel_, *file_system_, std::move(options), clock));
  session_->start();
  serving_ = true;
  if (!session_->wait_negotiated(deadline)) {
    return Error(EIO, "mount", "the kernel did not begin to use the mount; see the log");
  }
  if (!before) {
    raise_readahead();
    warn_of_transport();
  }
  return {};
}

void MountInstance::raise_readahead() const {
  const Result<void> set = fuse::set_readahead(spec_.mount_point, kReadaheadKib);
  if (!set.ok()) {
    telemetry::log_debug("mount", "readahead of {} stays as it is: {}", spec_.mount_point,
                         set.error().message());
  }
}

void MountInstance::warn_of_transport() const {
  for (const fuse::Feature& feature :
       fuse::describe(*session_->negotiated(), session_->options())) {
    if (feature.name != fuse::kRingFeature || feature.on) continue;
    telemetry::log_warn("mount", "{} is served from /dev/fuse: {}", spec_.mount_point,
                        feature.why_not);
  }
}

MountState MountInstance::state() const {
  MountState state{.url = spec_.url, .mount_point = spec_.mount_point, .options = spec_.words};
  if (serving_) state.negotiated = session_->negotiated();
  const Bandwidth now = limited_->limit();
  if (now != spec_.options.bandwidth) state.options["bwlimit"] = bandwidth_words(now);
  return state;
}

bool MountInstance::wait_ended(Deadline deadline) {
  return !serving_ || session_->wait(deadline);
}

void MountInstance::stop_serving() {
  if (notifier_) notifier_->stop();  // while the kernel is still answered, which it may wait for
  if (serving_) session_->stop(Deadline::after(Clock::system(), kReplyGrace));
}

bool MountInstance::close(Deadline deadline) {
  if (closed_.exchange(true)) return true;
  const Clock& clock = Clock::system();
  if (notifier_) notifier_->stop();  // while the kernel is still answered, which it may wait for
  if (back_) back_->stop_telling();
  if (session_) session_->stop({std::min(deadline.at, clock.now() + kReplyGrace)});
  // What is under way now is little, and is waited for; what waits in the journal keeps its limit.
  const Bandwidth limit = limited_ ? limited_->limit() : Bandwidth();
  if (limited_) limited_->limit({.up = back_ ? limit.up : 0});
  // With its handles, which are let go of when it has landed.  What does not is told by close().
  if (library_ && library_->writer() != nullptr) library_->writer()->settle_all(deadline);
  if (file_system_) file_system_->stop();
  if (library_) library_->close();
  if (back_ && !back_->drain(back_->newest(), deadline)) {
    telemetry::log_warn("mount",
                        "{}: {} changes are not uploaded; the next mount with --write=back "
                        "goes on with them",
                        spec_.url, back_->pending());
  }
  // Here and not when the instance is destroyed: whoever destroys it must not wait for an origin.
  if (limited_) limited_->limit({});
  if (back_) back_->stop_uploading();
  // Those that others have listed meanwhile.
  if (changes_names_) drop_names_later();
  // Behind what this mount has queued to be forgotten.
  if (mark_) mark_->clear(*store_.offload());
  return true;
}

void MountInstance::drop(const std::string& path) {
  if (serving_ && !closed_) file_system_->drop(path);
}

void MountInstance::went_elsewhere(const std::string& path, const std::string& beside) {
  if (!serving_ || closed_) return;
  file_system_->went_elsewhere(path);
  // It may have been believed to be absent.
  if (!beside.empty()) file_system_->drop(beside);
}

std::optional<std::string> MountInstance::origin_path(const std::string& path) const {
  if (!lies_under(path, spec_.mount_point)) return std::nullopt;
  if (path.size() <= spec_.mount_point.size() + 1) return std::string();
  return path.substr(spec_.mount_point.size() + (spec_.mount_point == "/" ? 0 : 1));
}

}  // namespace netfs::daemon
