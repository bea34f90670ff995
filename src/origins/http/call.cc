#include "origins/http/call.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "origins/http/redirect.h"

namespace netfs::origins::http {

Call::Call(TransferRequest request, Options options)
    : Transfer(std::move(request)), options_(options) {
  answer_.url = this->request().url;
}

bool Call::follow(const std::string& url) {
  if (options_.stop_at_directory && adds_a_slash(answer_.url, url)) {
    answer_.is_directory = true;
    answer_.led_to = url;
    return false;
  }
  answer_.url = url;
  return true;
}

Result<void> Call::head(const ResponseHead& head) {
  answer_.head = head;
  // Of an error's page nobody wants the text.
  enough_ = options_.body_bytes_max == 0 || head.status() >= 300;
  if (!enough_ && head.content_length().value_or(0) > options_.body_bytes_max) return too_long();
  return {};
}

Error Call::too_long() const {
  return Error(EFBIG, "http.call", answer_.url + ": the answer is longer than is taken");
}

Result<Transfer::Taken> Call::body(std::span<const std::byte> bytes) {
  if (enough_) {
    unwanted_bytes_ += bytes.size();
    const uint64_t length = answer_.head.content_length().value_or(unwanted_bytes_);
    if (std::max<uint64_t>(length, unwanted_bytes_) > kUnwantedBytesMax) {
      return Error(ECANCELED, "http.call");
    }
    return Taken::kAll;
  }
  if (bytes.size() > options_.body_bytes_max - answer_.body.size()) {
    return too_long();
  }
  answer_.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return Taken::kAll;
}

void Call::ended(Result<void> result) {
  // What was not wanted may have been cut short by us, or by anybody.
  if (enough_) result = {};
  sync::MutexLock lock(mutex_);
  outcome_ = std::move(result);
  done_.notify_all();
}

Result<Call::Answer> Call::wait() {
  sync::MutexLock lock(mutex_);
  while (!outcome_) done_.wait(mutex_);  // the engine ends it at its deadline
  TRY(*std::exchange(outcome_, std::nullopt));
  return std::move(answer_);
}

}  // namespace netfs::origins::http
