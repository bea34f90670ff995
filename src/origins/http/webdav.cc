#include "origins/http/webdav.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <spdlog/fmt/fmt.h>
#include <string_view>

#include "origins/http/answer_error.h"
#include "origins/http/url_parts.h"
#include "origins/percent.h"
#include "telemetry/log.h"

namespace netfs::origins::http {

namespace {

constexpr size_t kMultistatusBytesMax = size_t{128} << 20;
constexpr size_t kRootBytesMax = 256 * 1024;
// For who swallows what he does not know a mount waits no longer than this, or a quarter of the
// time there is.
constexpr Duration kAskFor = std::chrono::seconds(5);
constexpr int kAskPart = 4;
// One directory may be what the server cannot list so (nginx: of a link that leads nowhere).
constexpr unsigned kUnknownMax = 8;
// It may be another server by then, behind the same name.
constexpr Duration kRestFor = std::chrono::minutes(10);
constexpr size_t kTooLargeMax = 64;

// What answers 200 took the question for something else, and may send anything.
Result<void> check_xml(const ResponseHead& head) {
  if (head.content_type().find("xml") != std::string::npos) return {};
  return Error(EOPNOTSUPP, "http.webdav", "the answer is no multistatus");
}

Result<ListingPage> decode_multistatus(const Call::Answer& answer, const std::string& url) {
  const int status = answer.head.status();
  if (status >= 400 && status != 405 && status != 501) return error_of_status(status, url);
  if (status != 207 && status != 200) {
    return Error(EOPNOTSUPP, "http.webdav",
                 fmt::format("{}: the server answers {} to PROPFIND", url, status));
  }
  const std::optional<UrlParts> at = UrlParts::parse(answer.url);
  const std::optional<std::string> path = at ? percent_decode(at->path) : std::nullopt;
  if (!path || !path->ends_with('/') || !is_same_path(url, answer.url)) {
    return Error(EOPNOTSUPP, "http.webdav", "the server leads on to another place");
  }
  return parse_multistatus(answer.body, {.host = at->host, .path = *path});
}

}  // namespace

bool is_same_path(const std::string& from, const std::string& to) {
  if (from == to) return true;
  const std::optional<UrlParts> a = UrlParts::parse(from);
  const std::optional<UrlParts> b = UrlParts::parse(to);
  if (!a || !b) return false;
  const std::optional<std::string> path = percent_decode(a->path);
  const std::optional<std::string> led_to = percent_decode(b->path);
  return path && led_to && (*led_to == *path || *led_to == *path + "/");
}

bool WebDav::leaves_the_page(const Error& error) {
  switch (error.code()) {
    case ENOTCONN:
    case ECONNRESET:
    case ECANCELED:
    case EPROTO:
    case ENOMEM:
      return false;
    default:
      return true;
  }
}

Ref<Call> WebDav::begin(std::string url, Deadline deadline) {
  if (!url.ends_with('/')) url += '/';
  const MonoTime now = side_.engine.now();
  const bool bounded = deadline.at != MonoTime::max();
  const Duration part = bounded ? (deadline.at - now) / kAskPart : kAskFor;
  deadline.at = std::min(deadline.at, now + std::max<Duration>(part, kAskFor));
  Ref<Call> call = make_ref<Call>(TransferRequest{.method = Method::kPropfind,
                                                  .url = std::move(url),
                                                  .deadline = deadline,
                                                  .check = check_xml},
                                  Call::Options{.body_bytes_max = kRootBytesMax});
  side_.engine.submit(call);
  return call;
}

void WebDav::finish(Call& call) {
  const Result<Call::Answer> answer = call.wait();
  answered_ = answer.ok() && decode_multistatus(answer.value(), call.request().url).ok();
}

Result<Listing> WebDav::list(const std::string& url, Deadline deadline) {
  {
    sync::MutexLock lock(mutex_);
    if (too_large_.contains(url)) {
      return Error(EFBIG, "http.webdav", url + ": the multistatus was longer than is taken");
    }
  }
  // The page is to have its time, where this one takes for ever.
  const MonoTime now = side_.engine.now();
  if (deadline.at != MonoTime::max()) deadline.at = now + (deadline.at - now) / 2;
  Result<Listing> listing = ask(url, deadline);
  if (listing.ok()) {
    unknown_ = 0;
    return listing;
  }
  const bool nonsense =
      listing.is_error(EIO) && std::string_view(listing.error().context()) == "http.list";
  if (nonsense && !nonsense_told_.exchange(true)) {
    telemetry::log_warn("http", "{}: {}; it is listed by its page (said once)", url,
                        listing.error().message());
  }
  if (listing.is_error(EFBIG)) {
    sync::MutexLock lock(mutex_);
    if (too_large_.size() == kTooLargeMax) too_large_.clear();
    too_large_.insert(url);
  }
  return listing;
}

void WebDav::page_came(const std::string& url, const Error& error, bool listed) {
  if (listed && error.code() == EOPNOTSUPP && ++unknown_ >= kUnknownMax) {
    // The first one after that may say so again, and one that lists begins anew.
    unknown_ = kUnknownMax - 1;
    rests_until_ = side_.engine.now() + kRestFor;
  }
  if (!listed && error.code() == EFBIG) {
    // There is no other way: it may have become shorter.
    sync::MutexLock lock(mutex_);
    too_large_.erase(url);
  }
}

Result<Listing> WebDav::ask(const std::string& url, Deadline deadline) {
  const int64_t sent_seconds = side_.engine.wall_seconds();
  const Call::Answer answer = TRY(looker_.ask(
      {.method = Method::kPropfindMembers, .url = url, .deadline = deadline, .check = check_xml},
      {.body_bytes_max = kMultistatusBytesMax}));
  TRY(refuse_encoding(side_, answer.head, url));
  Listing listing{.page = TRY(decode_multistatus(answer, url)), .by_webdav = true};
  listing.listed_at_seconds = answer.head.date().value_or(sent_seconds);
  listing.skew_seconds = skew_of(answer.head, side_.engine.wall_seconds());
  return listing;
}

}  // namespace netfs::origins::http
