#include "origins/http/look.h"

#include <spdlog/fmt/fmt.h>

#include "origins/http/answer_error.h"

namespace netfs::origins::http {

namespace {

constexpr unsigned kAttemptsMax = 3;
constexpr Call::Options kLookOptions = {.body_bytes_max = 0, .stop_at_directory = true};
constexpr ByteRange kOneByte{0, 1};
// A server that refused so many, and took none, is asked for one byte at once.
constexpr unsigned kRefusalsMax = 3;

bool refuses_method(int status) {
  return status == 405 || status == 501;
}

}  // namespace

Result<Call::Answer> Looker::ask(const TransferRequest& request, Call::Options options) {
  for (unsigned attempt = 1;; ++attempt) {
    const Ref<Call> call = make_ref<Call>(request, options);
    side_.engine.submit(call);
    Result<Call::Answer> answer = call->wait();
    if (!answer.is_error(ECONNRESET) || attempt == kAttemptsMax) return answer;
  }
}

Ref<Call> Looker::begin(const std::string& url, Deadline deadline) {
  TransferRequest request{.method = Method::kHead, .url = url, .deadline = deadline};
  if (heads_refused_ >= kRefusalsMax && !head_taken_) {
    request.method = Method::kGet;
    request.range = kOneByte;
  }
  Ref<Call> call = make_ref<Call>(std::move(request), kLookOptions);
  side_.engine.submit(call);
  return call;
}

Result<Seen> Looker::finish(Call& call, Deadline deadline) {
  const TransferRequest& request = call.request();
  Result<Call::Answer> answer = call.wait();
  if (answer.is_error(ECONNRESET)) answer = ask(request, kLookOptions);
  if (!answer.ok()) return std::move(answer).error();
  if (answer.value().is_directory) return Seen{.is_directory = true, .edition = {}};
  const ResponseHead& head = answer.value().head;
  if (request.method == Method::kHead) {
    const bool refused = refuses_method(head.status());
    if (refused) ++heads_refused_;
    if (!refused) head_taken_ = true;
    const bool no_length = head.content_length().value_or(0) == 0 && head.encoding().empty();
    if (refused || (head.status() == 200 && no_length)) {
      return look_by_one_byte(request.url, deadline);
    }
  }
  const int64_t wall = side_.engine.wall_seconds();
  if (head.status() == 200 || head.status() == 206) {
    TRY(refuse_encoding(side_, head, request.url));
  }
  if (head.status() == 200 && head.content_length()) {
    if (head.accept_ranges() == "bytes") side_.ranges_seen = true;
    return Seen{.is_directory = false, .edition = edition_of(head, *head.content_length(), wall)};
  }
  const std::optional<ContentRange> range = head.content_range();
  const bool sized = range && range->total_bytes;
  // 416: there is not even one byte.
  if (sized && (head.status() == 206 || (head.status() == 416 && *range->total_bytes == 0))) {
    return Seen{.is_directory = false, .edition = edition_of(head, *range->total_bytes, wall)};
  }
  if (head.status() >= 300) return error_of_status(head.status(), request.url);
  return Error(EIO, "http.look",
               fmt::format("{}: the server does not say how long it is", request.url));
}

Result<Seen> Looker::look_by_one_byte(const std::string& url, Deadline deadline) {
  const Ref<Call> call = make_ref<Call>(
      TransferRequest{.method = Method::kGet, .url = url, .range = kOneByte, .deadline = deadline},
      kLookOptions);
  side_.engine.submit(call);
  return finish(*call, deadline);
}

Result<Seen> Looker::look(const std::string& url, Deadline deadline) {
  const Ref<Call> call = begin(url, deadline);
  return finish(*call, deadline);
}

}  // namespace netfs::origins::http
