#pragma once
// Call: a transfer whose caller waits for the whole answer; for metadata, on a metadata worker.
//
// The body is kept up to a limit, and refused beyond it (EFBIG), before it comes where its length
// is said.  An answer with any status is an
// answer: what it means is the caller's to say.  A redirect that only adds a '/' to the path says
// that the URL is a directory, and is not followed when the caller wants to know just that.
//
// Thread-safety: made, submitted and waited for by one thread.  Whoever gives up may go: the engine
// holds it until it has ended.
//
//   Ref<Call> call = make_ref<Call>(request, Call::Options{});
//   engine.submit(call);
//   Call::Answer answer = TRY(call->wait());

#include <optional>
#include <string>

#include "base/result.h"
#include "origins/http/lock_classes.h"
#include "origins/http/transfer.h"
#include "sync/cond_var.h"
#include "sync/mutex.h"

namespace netfs::origins::http {

class Call final : public Transfer {
 public:
  struct Options {
    size_t body_bytes_max = 0;       // 0: the body is not wanted
    bool stop_at_directory = false;  // a redirect that adds a '/' is the answer
  };
  struct Answer {
    ResponseHead head;
    std::string body;
    std::string url;            // the last one that was asked
    bool is_directory = false;  // by stop_at_directory
    std::string led_to;         // then: the redirect that said so, not followed
  };

  Call(TransferRequest request, Options options);

  // Ends soon after the request's deadline in any case.
  Result<Answer> wait() EXCLUDES(mutex_);

  bool follow(const std::string& url) override;
  Result<void> head(const ResponseHead& head) override;
  Result<Taken> body(std::span<const std::byte> bytes) override;
  void ended(Result<void> result) override EXCLUDES(mutex_);

 private:
  [[nodiscard]] Error too_long() const;

  const Options options_;
  Answer answer_;  // the engine's until it has ended
  bool enough_ = false;
  size_t unwanted_bytes_ = 0;

  sync::Mutex mutex_{kCallLock};
  sync::CondVar done_;
  std::optional<Result<void>> outcome_ GUARDED_BY(mutex_);
};

}  // namespace netfs::origins::http
