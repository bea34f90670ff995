#include "daemon/mount_instance.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "daemon/bandwidth.h"
#include "daemon/mount_checks.h"
#include "fuse/device_channel.h"
#include "fuse/ring_channel.h"
#include "sync/thread.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr unsigned kQueuesMax = 4;
constexpr unsigned kReadaheadKib = 1024;
constexpr uint32_t kReadBytesMax = 1 << 20;
constexpr Duration kReplyGrace = std::chrono::seconds(2);
constexpr timespec kBetweenCounts{.tv_sec = 0, .tv_nsec = 1'000'000};
constexpr int64_t kOverlayfsMagic = 0x794c7630;

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

bool MountInstance::sync(uint64_t& upto, Deadline deadline) {
  if (closed_ || !library_ || library_->writer() == nullptr) return true;
  if (!library_->writer()->settle_all(deadline)) return false;
  if (!back_) return true;
  if (upto == 0) upto = back_->newest();
  return back_->drain(upto, deadline);
}

std::string MountInstance::why_it_waits() const {
  return back_ ? back_->status().last_error : "";
}

std::vector<std::string> MountInstance::take_troubles() {
  return back_ ? back_->take_troubles() : std::vector<std::string>();
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
  made.locks = file_system_->has_locks();
  made.locks_off_reason = made.writable
                              ? "the origin has none: they are kept by the kernel, for this machine"
                              : "of a mount that does not write they are kept by the kernel, for "
                                "this machine";
  // By ACLs the kernel checks permissions, so only where it does.
  made.posix_acls = spec_.options.allow_other && file_system_->has_acls();
  if (made.writable) {
    off("--write: the kernel would not see what is written");
  } else if (spec_.options.verify_always) {
    off("--verify=always");
  } else if (!spec_.options.passthrough) {
    off("--no-passthrough");
  } else if (cache_ == nullptr) {
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
  state.origin = known_;
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

void MountInstance::read_no_more() {
  if (notifier_) notifier_->stop();  // while the kernel is still answered, which it may wait for
  if (channel_) channel_->shutdown();
}

void MountInstance::wait_answered(Deadline deadline) const {
  if (!serving_ || !session_->wait(deadline)) return;
  while (session_->live_count() > 0 && !deadline.passed(Clock::system().now())) {
    (void)::nanosleep(&kBetweenCounts, nullptr);
  }
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
  // Who waits for an origin that is away waits no more; what is in the journal is tried on.
  const bool away = late_ != nullptr && !late_->is_there();
  if (away && !back_) late_->stop();
  if (file_system_) file_system_->stop();
  if (library_) library_->close();
  if (back_) upload_what_waits(deadline);
  // Here and not when the instance is destroyed: whoever destroys it must not wait for an origin.
  if (limited_) limited_->limit({});
  if (back_) back_->stop_uploading();
  if (late_ != nullptr) late_->stop();
  take_stock();
  // Those that others have listed meanwhile.
  if (changes_names_) drop_names_later();
  // Behind what this mount has queued to be forgotten.
  if (mark_) mark_->clear(*store_.offload());
  return true;
}

// An origin that does not answer is given the time that it has for one call; one that takes what it
// is given, all that there is.
void MountInstance::upload_what_waits(Deadline deadline) {
  const uint64_t all = back_->newest();
  const Deadline first = Deadline::after(Clock::system(), spec_.options.timeout);
  if (back_->drain(all, {std::min(first.at, deadline.at)})) return;
  if (back_->status().last_error.empty()) back_->drain(all, deadline);
}

// Nothing goes to the origin any more.
void MountInstance::take_stock() {
  left_.url = spec_.url;
  left_.mount_point = spec_.mount_point;
  if (library_) left_.lost_bytes = library_->stats().bytes_lost.get();
  if (file_system_) left_.lost_bytes += file_system_->counters().bytes_lost.get();
  if (back_) {
    const journal::JournalStatus waits = back_->status();
    left_.changes = waits.pending;
    left_.bytes = waits.pending_bytes;
    left_.why = waits.last_error;
    left_.journal = back_->where();
    left_.troubles = back_->take_troubles();
    for (const std::string& trouble : left_.troubles) {
      telemetry::log_warn("mount", "{}: {}", spec_.mount_point, trouble);
    }
  }
  const std::string line = left_.line();
  if (!line.empty()) telemetry::log_warn("mount", "{}", line);
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
