#pragma once
// Engine: carries out transfers, all of them on one thread with libcurl's multi interface.
//
// The thread sleeps in curl_multi_poll and is woken by curl_multi_wakeup; nothing else waits there,
// not even for the look-up of a name that hangs (CURLOPT_QUICK_EXIT).  Connections are kept and
// shared by all transfers; with HTTP/2 many transfers share one.  Of a transfer that ran into its
// deadline the connection is ended as well, since its peer may be gone without a word: what shares
// it ends with ECONNRESET, and the next request gets a new one.  A peer that does not acknowledge
// what was sent, or that does not answer a keep-alive probe, is noticed earlier by the kernel
// (sockets.h).
//
// Thread-safety: submit(), post() and counts() from any thread; the rest on the engine's thread
// only, which is where transfers and posted tasks run.  A transfer's head() and body() run inside
// libcurl, which must not be called there: they leave what they have to say to ended() or to a
// task.  The destructor ends what is under way with ECANCELED.

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ref.h"
#include "base/unique_function.h"
#include "origins/http/lock_classes.h"
#include "origins/http/settings.h"
#include "origins/http/sockets.h"
#include "origins/http/transfer.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace netfs::origins::http {

class Exchange;

class Engine {
 public:
  using Task = UniqueFunction<void()>;

  struct Counts {
    uint64_t requests = 0;
    uint64_t busy_answers = 0;  // 429 and 503
    uint64_t open_connections = 0;
    bool http2 = false;  // of the last answer
  };

  // ENOMEM when libcurl cannot begin.
  static Result<std::unique_ptr<Engine>> create(const Settings& settings, const Clock& clock);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void submit(Ref<Transfer> transfer);
  // Runs `task` on the engine's thread; dropped unrun when the engine is ending.
  void post(Task task) EXCLUDES(mutex_);
  [[nodiscard]] Counts counts() const;
  [[nodiscard]] MonoTime now() const { return clock_.now(); }
  [[nodiscard]] int64_t wall_seconds() const { return clock_.wall().seconds; }
  [[nodiscard]] const Settings& settings() const { return settings_; }

  // On the engine's thread.
  void start(Ref<Transfer> transfer);
  // Runs `task` no earlier than `when`; dropped unrun at the end.
  void post_at(MonoTime when, Task task);
  // More requests are under way than there are connections for.
  [[nodiscard]] bool crowded() const;
  // Runs `task` whenever one that begins makes it crowded; not from within libcurl.
  void when_crowded(Task task) { when_crowded_ = std::move(task); }
  // Goes on with a transfer whose body() answered kPause.  Its body() may be called from within.
  void resume(const Transfer& transfer);
  // Ends a transfer with `error`, now; ended() is called from within.
  void cancel(const Transfer& transfer, const Error& error);

 private:
  friend class Exchange;
  struct Handles;  // what is libcurl's

  Engine(const Settings& settings, const Clock& clock);

  void run() EXCLUDES(mutex_);
  // Gives libcurl our sockets and this engine's ways of making them.
  void prepare_sockets(void* easy);
  void note_answer(const ResponseHead& head);
  // False: it is to end.
  bool run_tasks() EXCLUDES(mutex_);
  void run_timers();
  // libcurl lets requests that wait for a connection wait beyond their time.
  void end_late();
  void collect_ended();
  // Sends the request of an exchange, for the first time or once more.
  void send(Exchange& exchange);
  void settle(Exchange& exchange, int curl_code);
  void finish(Exchange& exchange, Result<void> result);
  void take_out(Exchange& exchange);
  Exchange* find(const Transfer& transfer);
  [[nodiscard]] int poll_timeout_ms() const;

  const Settings& settings_;
  const Clock& clock_;
  std::atomic<uint64_t> requests_{0};
  std::atomic<uint64_t> busy_answers_{0};
  std::atomic<bool> http2_{false};

  // The engine thread's own.
  Sockets sockets_;
  std::unique_ptr<Handles> handles_;
  std::map<const Transfer*, std::unique_ptr<Exchange>> exchanges_;
  size_t in_multi_ = 0;  // of them
  Task when_crowded_;
  std::multimap<MonoTime, Task> timers_;
  // When each of them with a deadline is to be over, libcurl's own time-out having had its chance.
  std::set<std::pair<MonoTime, const Transfer*>> deadlines_;

  sync::Mutex mutex_{kEngineLock};
  std::vector<Task> tasks_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;

  sync::Thread thread_;  // the last: it uses all of the above
};

}  // namespace netfs::origins::http
