#include "daemon/worker.h"

#include <csignal>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon/cache_report.h"
#include "daemon/control_socket.h"
#include "daemon/json_fields.h"
#include "daemon/mount_checks.h"
#include "daemon/sd_notify.h"
#include "daemon/status.h"
#include "daemon/version.h"
#include "sync/lock_reports.h"
#include "telemetry/log.h"
#include "vfs/taking_over.h"

namespace netfs::daemon {

namespace {

using nlohmann::json;

constexpr unsigned kControlThreads = 8;
constexpr size_t kControlDepth = 256;
constexpr Duration kTalkTimeout = std::chrono::seconds(30);
// For a user who has connected to say what for: until then the worker does not end.
constexpr Duration kAskTimeout = std::chrono::seconds(2);
constexpr Duration kGoodbyeTimeout = std::chrono::seconds(1);
constexpr Duration kStoreCloseTimeout = std::chrono::seconds(10);
constexpr Duration kLookTimeout = std::chrono::seconds(1);
constexpr Duration kUnusedTimeout = std::chrono::seconds(30);
constexpr Duration kDrainTimeout = std::chrono::seconds(3);
constexpr int kPollMs = 1000;
constexpr int kHurriedPollMs = 20;
// How long a worker goes before others after it serves; and how long at most until it does, for a
// disk or an origin may keep it.
constexpr Duration kHurryBehind = std::chrono::milliseconds(50);
constexpr Duration kHurryMax = std::chrono::seconds(1);

UniqueFd watch_signals() {
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGINT);
  // Before any thread is started, so that all inherit it.
  ::pthread_sigmask(SIG_BLOCK, &watched, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  // A lease that asks whether anybody has a file of the cache open may be broken by one of us.
  ::signal(SIGIO, SIG_IGN);
  return UniqueFd(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
}

}  // namespace

Worker::Worker(SupervisorLink& link, UniqueFd listener, const Inheritance& inheritance,
               SharedStore::Options store)
    : link_(link),
      listener_(std::move(listener)),
      workers_before_(inheritance.workers_before),
      signals_(watch_signals()),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      store_(std::move(store)),
      mounts_(link, store_, [this] { wake(); }) {
  control_ = std::make_unique<sync::WorkQueue>(sync::WorkQueue::Options{
      .name = "netfs-control", .threads = kControlThreads, .depth_max = kControlDepth});
  stoppers_ = std::make_unique<sync::WorkQueue>(
      sync::WorkQueue::Options{.name = "netfs-stop", .threads = 2, .depth_max = kControlDepth});
}

int Worker::run(std::vector<Adopted> mounts) {
  // One that follows others and finds no mount came after the end of the last: it takes in who
  // knocks already, and then ends.
  if (!mounts.empty() || workers_before_ > 0) used_ = true;
  // From before the first of them serves until the last does: they may be of one volume.
  auto taking_over = std::make_shared<vfs::TakingOver>();
  for (Adopted& adopted : mounts) {
    ++busy_;
    auto work = [this, taking_over, one = std::move(adopted)]() mutable {
      mounts_.adopt(std::move(one));
      --busy_;
      wake();
    };
    if (!control_->post(std::move(work))) --busy_;
  }
  taking_over.reset();
  do {
    poll_once();
    end_hurry();
    settle_attached();
    mounts_.bury();
  } while (!may_end());
  return end();
}

// Once those serve who were waited for, and a while longer: what they were asked meanwhile.  And
// once more, for threads that were just being made.
void Worker::end_hurry() {
  if (hurries_ == 0) return;
  const MonoTime now = Clock::system().now();
  if (busy_ > 0 && now - since_ < kHurryMax) return;
  hurry_until_ = std::min(hurry_until_, now + kHurryBehind);
  if (now < hurry_until_) return;
  hurry_.end();
  hurry_until_ = MonoTime::max();
  --hurries_;
}

bool Worker::may_end() const {
  if (busy_ > 0 || !mounts_.empty()) return false;
  return stopping_ || used_ || Clock::system().now() - since_ > kUnusedTimeout;
}

void Worker::poll_once() {
  std::vector<pollfd> polled = {{link_.socket(), POLLIN, 0},
                                {listener_.get(), POLLIN, 0},
                                {signals_.get(), POLLIN, 0},
                                {wake_.get(), POLLIN, 0}};
  if (orphaned_) polled[0].fd = -1;
  for (const auto& [id, user] : attached_) {
    if (!user.leaving) polled.push_back({user.socket.get(), POLLIN, 0});
  }
  if (::poll(polled.data(), polled.size(), hurries_ > 0 ? kHurriedPollMs : kPollMs) <= 0) return;
  if (polled[0].revents != 0) {
    const SupervisorLink::Event event = link_.receive();
    if (event == SupervisorLink::Event::kGone) orphaned_ = true;
    if (event == SupervisorLink::Event::kDrain || is_left()) {
      drain();
    } else if (event != SupervisorLink::Event::kNone) {
      stop();
    }
  }
  if (polled[1].revents != 0) accept_all();
  signalfd_siginfo info{};
  const bool told =
      polled[2].revents != 0 && ::read(signals_.get(), &info, sizeof info) == sizeof info;
  // Its end may still stand behind what it said last.
  const bool hung_up = (polled[0].revents & POLLHUP) != 0 && has_descriptor_store();
  if (told && !hung_up && !is_left()) stop();
  uint64_t count = 0;
  if (polled[3].revents != 0) (void)::read(wake_.get(), &count, sizeof count);
}

// Whether the supervisor has died where a service manager keeps the mounts for the next one: its
// SIGTERM is then about this process only.
bool Worker::is_left() const {
  return orphaned_ && has_descriptor_store();
}

void Worker::wake() {
  const uint64_t one = 1;
  // It can only fail when it is awake already.
  (void)!::write(wake_.get(), &one, sizeof one);
}

void Worker::accept_all() {
  while (true) {
    Result<UniqueFd> socket = accept_control(listener_.get());
    if (!socket.ok()) {
      if (socket.is_error(EAGAIN)) return;
      if (!socket.is_error(ECONNABORTED) && !socket.is_error(EINTR)) {
        telemetry::log_warn(kRoom, "a user was refused: {}", socket.error().message());
        return;
      }
      continue;
    }
    ++busy_;
    auto work = [this, fd = std::move(socket).value()]() mutable {
      serve(std::move(fd));
      --busy_;
      wake();
    };
    if (!control_->post(std::move(work))) --busy_;
  }
}

void Worker::serve(UniqueFd socket) {
  const Hello hello{
      .version = kVersion, .pid = ::getpid(), .cache_dir = store_.options().cache_dir};
  if (!send_message(socket.get(), encode(hello), Deadline::within(kTalkTimeout)).ok()) return;
  const Result<std::string> text = receive_message(socket.get(), Deadline::within(kAskTimeout));
  if (!text.ok()) return;
  used_ = true;
  uint64_t mounted_id = 0;
  const Result<Request> request = decode_request(text.value());
  if (request.ok() && request.value().verb == Verb::kUpgrade) {
    // The supervisor answers: this process will have ended by then.
    return link_.upgrade(request.value().target, socket.get());
  }
  const Response response =
      request.ok() ? dispatch(request.value(), mounted_id) : failure(request.error());
  const Result<void> sent =
      send_message(socket.get(), encode(response), Deadline::within(kTalkTimeout));
  if (mounted_id == 0) return;
  if (!sent.ok()) {
    // Its command was interrupted or killed: who asked for the mount believes there is none.
    telemetry::log_info(kRoom, "nobody waits for the mount on {}: it ends", request.value().target);
    mounts_.unmount_number(mounted_id);
    return;
  }
  if (request.value().attached) attach(mounted_id, std::move(socket));
}

Response Worker::dispatch(const Request& request, uint64_t& mounted_id) {
  switch (request.verb) {
    case Verb::kMount:
      return mount(request, mounted_id);
    case Verb::kUmount: {
      const Result<std::string> done = mounts_.unmount(request.target, request.lazy);
      return done.ok() ? Response{.line = done.value()} : failure(done.error());
    }
    case Verb::kStatus:
      return status(request);
    case Verb::kCacheList:
      return store_.cache() == nullptr ? failure_without_cache()
                                       : with_body(cache_list(*store_.cache()));
    case Verb::kCacheUsage:
      return store_.cache() == nullptr ? failure_without_cache()
                                       : with_body(json(cache_usage(*store_.cache())));
    case Verb::kCacheDrop:
      return drop(request);
    case Verb::kSync:
      return sync(request);
    case Verb::kLimit:
      return limit(request);
    case Verb::kUpgrade:
      break;
  }
  return failure(Error(EPROTO, "control"));
}

Response Worker::mount(const Request& request, uint64_t& mounted_id) {
  if (request.name_space != mount_namespace()) {
    return failure(Error(EXDEV, "mount",
                         "the daemon of this cache directory runs in another mount namespace; "
                         "choose another --cache-dir"));
  }
  const Result<uint64_t> id = mounts_.mount(request);
  if (!id.ok()) return failure(id.error());
  mounted_id = id.value();
  return {};
}

Response Worker::status(const Request& request) {
  json body = owner_status();
  body["mounts"] = json::array();
  for (const Ref<MountInstance>& mount : mounts_.find(request.target)) {
    body["mounts"].push_back(mount->status());
  }
  if (!request.target.empty() && body["mounts"].empty()) {
    return failure(
        Error(ENOENT, "status", fmt::format("{} is no mount of this daemon", request.target)));
  }
  return with_body(body);
}

json Worker::owner_status() {
  const Duration age = Clock::system().now() - since_;
  json body = {{"netfs", kVersion},
               {"pid", ::getpid()},
               {"supervisor_pid", ::getppid()},
               {"supervisor_netfs", link_.supervisor_version()},
               {"worker_restarts", workers_before_},
               {"uptime_s", std::chrono::duration_cast<std::chrono::seconds>(age).count()},
               {"cache_dir", store_.options().cache_dir},
               {"memory",
                {{"resident_bytes", resident_bytes()},
                 {"buffers_used_bytes", store_.pool().used_bytes()},
                 {"buffers_budget_bytes", store_.pool().budget_bytes()}}}};
  if (const std::string why = store_.why_no_cache(); !why.empty()) body["no_cache"] = why;
  if (store_.cache() != nullptr) {
    body["cache"] = to_json(store_.cache()->usage());
    body["stores"] = to_json(store_.offload()->stats());
  }
  return body;
}

void Worker::attach(uint64_t id, UniqueFd socket) {
  {
    const sync::MutexLock lock(mutex_);
    arriving_.emplace_back(id, std::move(socket));
  }
  wake();
}

void Worker::settle_attached() {
  {
    const sync::MutexLock lock(mutex_);
    for (auto& [id, socket] : arriving_) attached_[id] = Attached{std::move(socket)};
    arriving_.clear();
  }
  for (auto it = attached_.begin(); it != attached_.end();) {
    const uint64_t id = it->first;
    Attached& user = it->second;
    pollfd polled{user.socket.get(), POLLIN, 0};
    if (mounts_.ended(id)) {
      (void)send_message(user.socket.get(), encode(Response{}), Deadline::within(kGoodbyeTimeout))
          .ok();
      it = attached_.erase(it);
      continue;
    }
    if (!user.leaving && ::poll(&polled, 1, 0) > 0) {
      user.leaving = true;
      do_later([this, id] { mounts_.unmount_number(id); });
    }
    ++it;
  }
}

void Worker::do_later(UniqueFunction<void()> work) {
  ++busy_;
  const bool posted = stoppers_->post([this, task = std::move(work)]() mutable {
    task();
    --busy_;
    wake();
  });
  if (!posted) --busy_;
}

void Worker::stop() {
  if (stopping_) return;
  stopping_ = true;
  do_later([this] { mounts_.stop_all(); });
}

// Nothing is taken down: whoever follows goes on with it, and what is not answered by then is asked
// of him again.
void Worker::drain() {
  if (stopping_) return;
  do_later([this] {
    mounts_.leave(Deadline::within(kDrainTimeout));
    telemetry::stop_log();
    sync::write_lock_graph();
    ::_exit(0);
  });
}

int Worker::end() {
  listener_.reset();
  if (!orphaned_) link_.ending();
  control_->stop();
  stoppers_->stop();
  settle_attached();
  mounts_.bury();
  const bool closed = store_.close(Deadline::within(kStoreCloseTimeout));
  if (!closed || !store_.callers().idle_by(Clock::system().now() + kLookTimeout)) {
    telemetry::stop_log();
    sync::write_lock_graph();
    ::_exit(0);  // a thread stands in the kernel and does not come back: nothing may be destroyed
  }
  return 0;
}

}  // namespace netfs::daemon
