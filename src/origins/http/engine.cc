#include "origins/http/engine.h"

#include <algorithm>
#include <csignal>
#include <curl/curl.h>

#include "origins/http/answer_error.h"
#include "origins/http/exchange.h"

namespace netfs::origins::http {

namespace {

// libcurl wakes up for its own timers; this is only how long nothing at all may happen.
constexpr int kPollMaxMs = 10'000;
// How long after its deadline a transfer is ended by us, if libcurl has not done it.
constexpr Duration kDeadlineGrace = std::chrono::milliseconds(100);

// Never, for what has no deadline.
MonoTime latest_end(const Transfer& transfer) {
  const MonoTime deadline = transfer.request().deadline.at;
  return deadline >= MonoTime::max() - kDeadlineGrace ? MonoTime::max() : deadline + kDeadlineGrace;
}

bool global_init() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  return code == CURLE_OK;
}

curl_socket_t open_socket(void* sockets, curlsocktype, curl_sockaddr* address) {
  return static_cast<Sockets*>(sockets)->open(address->family, address->socktype,
                                              address->protocol);
}

int close_socket(void* sockets, curl_socket_t fd) {
  static_cast<Sockets*>(sockets)->close(fd);
  return 0;
}

}  // namespace

struct Engine::Handles {
  struct Cleanup {
    void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
  };
  std::unique_ptr<CURLM, Cleanup> multi;
};

Engine::Engine(const Settings& settings, const Clock& clock)
    : settings_(settings),
      clock_(clock),
      sockets_(settings.timeout),
      handles_(std::make_unique<Handles>()) {}

Result<std::unique_ptr<Engine>> Engine::create(const Settings& settings, const Clock& clock) {
  const Error no_memory(ENOMEM, "http.engine", "libcurl does not begin");
  if (!global_init()) return no_memory;
  std::unique_ptr<Engine> engine(new Engine(settings, clock));
  CURLM* const multi = curl_multi_init();
  if (multi == nullptr) return no_memory;
  engine->handles_->multi.reset(multi);
  const auto connections = static_cast<long>(settings.connections);
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_MULTIPLEX));
  curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, connections);
  curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, 2 * connections);
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 2 * connections);
  engine->thread_ = sync::Thread("netfs-http", [self = engine.get()] { self->run(); });
  return engine;
}

Engine::~Engine() {
  {
    sync::MutexLock lock(mutex_);
    stopping_ = true;
    // Under the lock: once the thread sees that it is to end, libcurl's handle goes.
    if (handles_->multi) curl_multi_wakeup(handles_->multi.get());
  }
  thread_.join();
}

void Engine::post(Task task) {
  {
    sync::MutexLock lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  curl_multi_wakeup(handles_->multi.get());
}

void Engine::submit(Ref<Transfer> transfer) {
  post([this, transfer = std::move(transfer)]() mutable { start(std::move(transfer)); });
}

Engine::Counts Engine::counts() const {
  return {.requests = requests_.load(std::memory_order_relaxed),
          .busy_answers = busy_answers_.load(std::memory_order_relaxed),
          .open_connections = sockets_.open_count(),
          .http2 = http2_.load(std::memory_order_relaxed)};
}

void Engine::run() {
  // OpenSSL may write to a connection whose peer has gone.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  CURLM* const multi = handles_->multi.get();
  while (run_tasks()) {
    run_timers();
    int running = 0;
    curl_multi_perform(multi, &running);
    collect_ended();
    end_late();
    curl_multi_poll(multi, nullptr, 0, poll_timeout_ms(), nullptr);
  }
  timers_.clear();
  while (!exchanges_.empty()) {
    finish(*exchanges_.begin()->second, Error(ECANCELED, "http.engine"));
  }
  handles_->multi.reset();
}

bool Engine::run_tasks() {
  std::vector<Task> tasks;
  bool go_on = true;
  {
    sync::MutexLock lock(mutex_);
    tasks.swap(tasks_);
    go_on = !stopping_;
  }
  for (Task& task : tasks) task();
  return go_on;
}

void Engine::run_timers() {
  const MonoTime now = clock_.now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Task task = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    task();
  }
}

void Engine::end_late() {
  const MonoTime now = clock_.now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    Exchange& late = *exchanges_.at(deadlines_.begin()->second);
    sockets_.end_connection_from(late.local_port());
    finish(late, Error(ETIMEDOUT, "http.engine"));
  }
}

int Engine::poll_timeout_ms() const {
  MonoTime next = MonoTime::max();
  if (!timers_.empty()) next = timers_.begin()->first;
  if (!deadlines_.empty()) next = std::min(next, deadlines_.begin()->first);
  if (next == MonoTime::max()) return kPollMaxMs;
  const Duration left = next - clock_.now();
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<int64_t>(ms, 0, kPollMaxMs));
}

void Engine::post_at(MonoTime when, Task task) {
  timers_.emplace(when, std::move(task));
}

void Engine::prepare_sockets(void* easy) {
  auto* const handle = static_cast<CURL*>(easy);
  curl_easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  curl_easy_setopt(handle, CURLOPT_OPENSOCKETDATA, &sockets_);
  curl_easy_setopt(handle, CURLOPT_CLOSESOCKETFUNCTION, &close_socket);
  curl_easy_setopt(handle, CURLOPT_CLOSESOCKETDATA, &sockets_);
}

void Engine::note_answer(const ResponseHead& head) {
  http2_.store(head.is_http2(), std::memory_order_relaxed);
  if (is_busy(head.status())) busy_answers_.fetch_add(1, std::memory_order_relaxed);
}

void Engine::start(Ref<Transfer> transfer) {
  const Transfer* const key = transfer.get();
  const MonoTime latest = latest_end(*transfer);
  if (latest != MonoTime::max()) deadlines_.emplace(latest, key);
  std::unique_ptr<Exchange>& place = exchanges_[key];
  place = std::make_unique<Exchange>(*this, std::move(transfer));
  send(*place);
}

void Engine::send(Exchange& exchange) {
  requests_.fetch_add(1, std::memory_order_relaxed);
  if (Result<void> ready = exchange.prepare(); !ready.ok()) {
    return finish(exchange, std::move(ready));
  }
  if (curl_multi_add_handle(handles_->multi.get(), exchange.handle()) != CURLM_OK) {
    return finish(exchange, Error(ENOMEM, "http.engine"));
  }
  exchange.in_multi = true;
  ++in_multi_;
  if (crowded() && when_crowded_) when_crowded_();
}

bool Engine::crowded() const {
  // Of HTTP/2 many share a connection.
  return in_multi_ > settings_.connections && !http2_.load(std::memory_order_relaxed);
}

void Engine::take_out(Exchange& exchange) {
  if (!std::exchange(exchange.in_multi, false)) return;
  --in_multi_;
  curl_multi_remove_handle(handles_->multi.get(), exchange.handle());
}

void Engine::collect_ended() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(handles_->multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    char* exchange = nullptr;
    const CURLcode code = message->data.result;  // `message` goes with the handle
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
    settle(*reinterpret_cast<Exchange*>(exchange), code);
  }
}

void Engine::settle(Exchange& exchange, int curl_code) {
  const auto code = static_cast<CURLcode>(curl_code);
  const uint16_t port = exchange.local_port();
  Exchange::Verdict verdict = exchange.judge(code);
  take_out(exchange);
  if (code == CURLE_OPERATION_TIMEDOUT) sockets_.end_connection_from(port);
  switch (verdict.next) {
    case Exchange::Next::kDone:
      return finish(exchange, std::move(verdict.result));
    case Exchange::Next::kFollow:
      return send(exchange);
    case Exchange::Next::kComeBack:
      post_at(now() + verdict.pause, [this, key = Ref<Transfer>(&exchange.transfer())] {
        if (Exchange* waiting = find(*key)) send(*waiting);
      });
  }
}

void Engine::finish(Exchange& exchange, Result<void> result) {
  const auto found = exchanges_.find(&exchange.transfer());
  const std::unique_ptr<Exchange> ended = std::move(found->second);
  exchanges_.erase(found);
  deadlines_.erase({latest_end(ended->transfer()), &ended->transfer()});
  if (ended->in_multi) ended->let_go();
  take_out(*ended);
  ended->transfer().ended(std::move(result));
}

Exchange* Engine::find(const Transfer& transfer) {
  const auto found = exchanges_.find(&transfer);
  return found == exchanges_.end() ? nullptr : found->second.get();
}

void Engine::resume(const Transfer& transfer) {
  if (const Exchange* exchange = find(transfer)) {
    curl_easy_pause(exchange->handle(), CURLPAUSE_CONT);
  }
}

void Engine::cancel(const Transfer& transfer, const Error& error) {
  if (Exchange* exchange = find(transfer)) finish(*exchange, error);
}

}  // namespace netfs::origins::http
