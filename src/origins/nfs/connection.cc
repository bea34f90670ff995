#include "origins/nfs/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <random>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace netfs::origins::nfs {

namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(100);
constexpr Duration kLongestPause = std::chrono::seconds(5);
constexpr Duration kAskedAfter = std::chrono::milliseconds(500);

void wake_up(int fd) {
  const uint64_t one = 1;
  (void)!::write(fd, &one, sizeof one);
}

// libnfs has 4 KiB for all of a request but the bytes of a WRITE: what has no room there is the
// target of a symbolic link.
Error not_sent(const std::string& complaint) {
  const int code = complaint.find("encode") != std::string::npos ? ENAMETOOLONG : EIO;
  return Error(code, "nfs.request", complaint);
}

Error refusal(const void* says) {
  const std::string text = says == nullptr ? "" : static_cast<const char*>(says);
  return Error(errno_of_refusal(text), "nfs.rpc", text);
}

}  // namespace

Connection::Connection(Options options)
    : options_(std::move(options)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  thread_ = sync::Thread(options_.name, [this] { run(); });
}

Connection::~Connection() {
  stopping_ = true;
  wake_up(wake_.get());
  thread_.join();
}

std::string Connection::last_error() const {
  sync::MutexLock lock(mutex_);
  return last_error_;
}

bool Connection::submit(Send send, Answered answered, Deadline deadline, Kind kind) {
  auto request = std::make_unique<Request>();
  request->send = std::move(send);
  request->answered = std::move(answered);
  request->deadline = deadline;
  request->kind = kind;
  request->connection = this;
  bool first = false;
  {
    sync::MutexLock lock(mutex_);
    if (!open_) return false;
    first = queue_.empty();
    queue_.push_back(std::move(request));
    load_.fetch_add(1, std::memory_order_relaxed);
  }
  if (first) wake_up(wake_.get());
  return true;
}

void Connection::run() {
  Duration rest = kFirstPause;
  for (;;) {
    // What woke it before is done; whoever stops it says so before it wakes it.
    uint64_t count = 0;
    (void)!::read(wake_.get(), &count, sizeof count);
    if (stopping_) return;
    Result<std::unique_ptr<Rpc>> rpc = Rpc::connect(
        options_.target, Deadline::after(Clock::system(), options_.silence), wake_.get());
    if (!rpc.ok()) {
      {
        sync::MutexLock lock(mutex_);
        last_error_ = rpc.error().message();
      }
      options_.changed();
      pause(rest);
      rest = std::min(rest * 2, kLongestPause);
      continue;
    }
    const MonoTime began = Clock::system().now();
    answers_ = 0;
    {
      sync::MutexLock lock(mutex_);
      open_ = true;
      last_error_.clear();
    }
    up_.store(true, std::memory_order_release);
    options_.changed();
    const Error why = serve(*rpc.value());
    close();
    if (!stopping_) losses_.fetch_add(1, std::memory_order_relaxed);
    // What was sent is answered by came() now.
    rpc.value().reset();
    lose(why);
    options_.changed();
    // A server that takes connections and answers nothing on them is not asked without a pause.
    if (answers_ > 0 || Clock::system().now() - began > kLongestPause) {
      rest = kFirstPause;
    } else {
      pause(rest);
      rest = std::min(rest * 2, kLongestPause);
    }
  }
}

// Between a half and the whole of it: many clients of a server that comes back do not come at once.
void Connection::pause(Duration pause) {
  static thread_local std::minstd_rand random(std::random_device{}());
  const MonoTime until =
      Clock::system().now() + pause / 2 +
      Duration(std::uniform_int_distribution<int64_t>(0, pause.count() / 2)(random));
  while (!stopping_) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::system().now());
    if (left.count() <= 0) return;
    pollfd woken{.fd = wake_.get(), .events = POLLIN, .revents = 0};
    (void)::poll(&woken, 1, static_cast<int>(left.count()));
    uint64_t count = 0;
    (void)!::read(wake_.get(), &count, sizeof count);
  }
}

Error Connection::serve(Rpc& rpc) {
  last_answer_ = Clock::system().now();
  MonoTime next_expiry = MonoTime::max();
  for (;;) {
    uint64_t count = 0;
    (void)!::read(wake_.get(), &count, sizeof count);
    if (stopping_) return Error(ECANCELED, "nfs.connection");
    // What is sent to a host that is gone would not be told from what it is slow with.
    const MonoTime began = Clock::system().now();
    if (sent_.empty() || began - heard_at_ > kAskedAfter) {
      if (rpc.is_gone()) {
        return Error(ENOTCONN, "nfs.connection", "the server's host does not answer any more");
      }
      heard_at_ = began;
    }
    send_queued(rpc);
    const MonoTime now = Clock::system().now();
    next_expiry = expire(now);
    if (is_silent(now)) {
      return Error(ENOTCONN, "nfs.connection", "the server does not answer any more");
    }
    if (late_change_) {
      return Error(ENOTCONN, "nfs.connection", "the server did not answer a change in time");
    }
    if (const Result<void> served = rpc.service(next_expiry, wake_.get()); !served.ok()) {
      return Error(ENOTCONN, "nfs.connection", served.error().message());
    }
  }
}

void Connection::send_queued(Rpc& rpc) {
  Requests taken;
  {
    sync::MutexLock lock(mutex_);
    taken.swap(queue_);
  }
  const MonoTime now = Clock::system().now();
  while (!taken.empty()) {
    Request& request = *taken.front();
    if (request.deadline.passed(now)) {
      answer(request, Error(ETIMEDOUT, "nfs.request"));
      taken.pop_front();
      continue;
    }
    if (sent_.empty()) last_answer_ = now;
    request.sent_at = now;
    sent_.splice(sent_.end(), taken, taken.begin());
    request.place = std::prev(sent_.end());
    if (request.send(rpc.context(), &Connection::came, &request) != 0) {
      answer(request, not_sent(complaint_of(rpc.context())));
      sent_.erase(request.place);
    }
  }
}

MonoTime Connection::expire(MonoTime now) {
  MonoTime next = MonoTime::max();
  late_change_ = false;
  for (const std::unique_ptr<Request>& request : sent_) {
    if (!request->answered) continue;
    if (!request->deadline.passed(now)) {
      next = std::min(next, request->deadline.at);
    } else if (request->kind == Kind::kOrdered) {
      late_change_ = true;
    } else {
      answer(*request, Error(ETIMEDOUT, "nfs.request"));
    }
  }
  return next;
}

bool Connection::is_silent(MonoTime now) const {
  return !sent_.empty() && now - std::max(last_answer_, sent_.front()->sent_at) > options_.silence;
}

void Connection::close() {
  up_.store(false, std::memory_order_release);
  sync::MutexLock lock(mutex_);
  open_ = false;
}

void Connection::lose(const Error& why) {
  Requests unsent;
  {
    sync::MutexLock lock(mutex_);
    last_error_ = why.message();
    unsent.swap(queue_);
  }
  for (const std::unique_ptr<Request>& request : unsent) answer(*request, why);
  for (const std::unique_ptr<Request>& request : sent_) answer(*request, why);
  sent_.clear();
}

void Connection::answer(Request& request, Result<void*> result) {
  if (!request.answered) return;
  Answered answered = std::exchange(request.answered, {});
  load_.fetch_sub(1, std::memory_order_relaxed);
  answered(std::move(result));
}

void Connection::came(rpc_context* /*context*/, int status, void* data, void* request) {
  auto& came = *static_cast<Request*>(request);
  Connection& connection = *came.connection;
  if (status == RPC_STATUS_SUCCESS) {
    connection.last_answer_ = Clock::system().now();
    ++connection.answers_;
    connection.answer(came, data);
  } else {
    // At its deadline the connection was given up for it.
    const bool late = came.deadline.passed(Clock::system().now());
    connection.answer(came, late ? Error(ETIMEDOUT, "nfs.rpc")
                                 : refusal(status == RPC_STATUS_ERROR ? data : nullptr));
  }
  connection.sent_.erase(came.place);
}

}  // namespace netfs::origins::nfs
