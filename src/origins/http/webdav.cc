#include "origins/http/webdav.h"

#include <algorithm>
#include <spdlog/fmt/fmt.h>

#include "origins/http/url_parts.h"
#include "origins/percent.h"
#include "telemetry/log.h"

namespace netfs::origins::http {

namespace {

constexpr size_t kMultistatusBytesMax = size_t{128} << 20;
constexpr size_t kRootBytesMax = 256 * 1024;
// Of who swallows what he does not know, a mount waits no longer than this.
constexpr Duration kAskFor = std::chrono::seconds(5);
// One directory may be what the server cannot list so (nginx: of a link that leads nowhere).
constexpr unsigned kWebdavRefusalsMax = 8;

// What answers 200 took the question for something else, and may send anything.
Result<void> check_xml(const ResponseHead& head) {
  if (head.content_type().find("xml") != std::string::npos) return {};
  return Error(EOPNOTSUPP, "http.webdav", "the answer is no multistatus");
}

Result<ListingPage> decode_multistatus(const Call::Answer& answer, const std::string& url) {
  const int status = answer.head.status();
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

bool WebDav::is_refusal(const Error& error) {
  const int code = error.code();
  return code == EOPNOTSUPP || code == EIO || code == EFBIG || code == ELOOP;
}

Ref<Call> WebDav::begin(std::string url, Deadline deadline) {
  if (!url.ends_with('/')) url += '/';
  deadline.at = std::min(deadline.at, side_.engine.now() + kAskFor);
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
  speaks_ = answer.ok() && decode_multistatus(answer.value(), call.request().url).ok();
}

Result<Listing> WebDav::list(const std::string& url, Deadline deadline) {
  // The page is to have its time, where this one takes for ever.
  const MonoTime now = side_.engine.now();
  if (deadline.at != MonoTime::max()) deadline.at = now + (deadline.at - now) / 2;
  Result<Listing> listing = ask(url, deadline);
  if (listing.is_error(ETIMEDOUT)) {
    listing = Error(EOPNOTSUPP, "http.webdav", listing.error().detail());
  }
  if (listing.ok()) {
    refusals_ = 0;
  } else if (is_refusal(listing.error())) {
    if (listing.is_error(EIO) && !nonsense_told_.exchange(true)) {
      telemetry::log_warn("http", "{}: {}; it is listed by its page (said once)", url,
                          listing.error().message());
    }
    if (++refusals_ >= kWebdavRefusalsMax) speaks_ = false;
  }
  return listing;
}

Result<Listing> WebDav::ask(const std::string& url, Deadline deadline) {
  const Call::Answer answer = TRY(looker_.ask(
      {.method = Method::kPropfindMembers, .url = url, .deadline = deadline, .check = check_xml},
      {.body_bytes_max = kMultistatusBytesMax}));
  TRY(refuse_encoding(side_, answer.head, url));
  Listing listing{.page = TRY(decode_multistatus(answer, url)), .by_webdav = true};
  const int64_t wall = side_.engine.wall_seconds();
  listing.listed_at_seconds = answer.head.date().value_or(wall);
  listing.skew_seconds = skew_of(answer.head, wall);
  return listing;
}

}  // namespace netfs::origins::http
