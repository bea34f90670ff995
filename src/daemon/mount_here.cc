#include "daemon/mount_here.h"

#include "fuse/mount.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr Duration kStartTimeout = std::chrono::seconds(20);
constexpr Duration kEndTimeout = std::chrono::seconds(20);

}  // namespace

HereMount::HereMount(const MountOptions& options)
    : store_({.cache_dir = options.no_cache ? "" : options.cache_dir,
              .cache_size = options.cache_size,
              .memory_bytes = options.memory_bytes}) {}

HereMount::~HereMount() {
  if (instance_) {
    const std::string mount_point = instance_->spec().mount_point;
    if (!instance_->wait_ended(Deadline::within(Duration(0)))) {
      const Result<void> gone = fuse::unmount(mount_point, fuse::UnmountMode::kLazy);
      if (!gone.ok()) telemetry::log_error("mount", "{}", gone.error().message());
    }
    instance_->close(Deadline::within(kEndTimeout));
    instance_ = nullptr;
  }
  // A thread that stands in a write to a dead disk is waited for by the store's own end.
  store_.close(Deadline::within(kEndTimeout));
}

bool HereMount::wait(Deadline deadline) {
  return instance_->wait_ended(deadline);
}

Result<std::unique_ptr<HereMount>> mount_here(Origin& origin, HereOptions options) {
  std::unique_ptr<HereMount> mount(new HereMount(options.options));
  TRY(fuse::check_mount_point(options.mount_point));
  TRY(mount->store_.open());
  Ref<MountInstance> instance = TRY(MountInstance::prepare(
      {std::move(options.source), std::move(options.mount_point), std::move(options.options)},
      mount->store_, &origin));
  std::vector<UniqueFd> fds = TRY(fuse::mount(instance->kernel_mount()));
  mount->instance_ = instance;
  TRY(instance->serve(std::move(fds), std::nullopt, Deadline::within(kStartTimeout)));
  return mount;
}

}  // namespace netfs::daemon
