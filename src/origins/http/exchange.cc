#include "origins/http/exchange.h"

#include <algorithm>
#include <spdlog/fmt/fmt.h>

#include "origins/http/answer_error.h"
#include "origins/http/engine.h"
#include "origins/http/redirect.h"

namespace netfs::origins::http {

namespace {

constexpr unsigned kRedirectsMax = 5;
constexpr unsigned kComeBacksMax = 3;
constexpr size_t kHeadBytesMax = 256 * 1024;
// Of a body that nobody wants this much is read, for the connection's sake.
constexpr size_t kSkippedBytesMax = 64 * 1024;
// Where a redirect leads libcurl says only once its body is over.
constexpr size_t kRedirectBytesMax = 1024 * 1024;
constexpr long kReadBufferBytes = 256 * 1024;
constexpr long kSmallBufferBytes = 16 * 1024;
// libcurl counts milliseconds, and may be that much early.
constexpr Duration kTimerSlack = std::chrono::milliseconds(50);
// Of what has no deadline of its own.
constexpr Duration kComeBackMax = std::chrono::seconds(30);
constexpr const char* kWantedProperties =
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
    "<propfind xmlns=\"DAV:\"><prop><resourcetype/><getcontentlength/><getlastmodified/><getetag/>"
    "</prop></propfind>\n";

}  // namespace

Exchange::Exchange(Engine& engine, Ref<Transfer> transfer)
    : engine_(engine), transfer_(std::move(transfer)), url_(transfer_->request().url) {}

Exchange::~Exchange() = default;

Result<void> Exchange::prepare() {
  if (handle_) {
    curl_easy_reset(handle_.get());
  } else {
    handle_.reset(curl_easy_init());
  }
  if (!handle_) return Error(ENOMEM, "http.transfer");
  head_ = ResponseHead();
  head_bytes_ = skipped_bytes_ = 0;
  head_seen_ = paused_ = false;
  next_ = Next::kDone;
  detail_[0] = '\0';

  CURL* const easy = handle_.get();
  const TransferRequest& request = transfer_->request();
  const Settings& settings = engine_.settings();
  // Long enough to be right, and counted from when it was asked: waiting for a connection included.
  Duration left = settings.timeout;
  if (request.deadline.at != MonoTime::max()) {
    left = request.deadline.at - engine_.now();
    if (left <= Duration::zero()) return Error(ETIMEDOUT, "http.transfer");
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(ms));
  }
  const auto connect_ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect_ms));
  // A look-up of a name that hangs must hold up nothing, not even the end of the process.
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail_);
  curl_easy_setopt(easy, CURLOPT_URL, url_.c_str());
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  // Rather wait for the first connection to say whether it takes many streams than open more.
  curl_easy_setopt(easy, CURLOPT_PIPEWAIT, url_.starts_with("https:") ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy, CURLOPT_NOBODY, request.method == Method::kHead ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE,
                   request.method == Method::kHead ? kSmallBufferBytes : kReadBufferBytes);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Exchange::on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Exchange::on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, settings.user_agent.c_str());
  curl_slist* lines = curl_slist_append(nullptr, "Accept-Encoding: identity");
  if (!request.range.empty()) {
    const std::string range =
        fmt::format("{}-{}", request.range.offset_bytes, request.range.end_bytes() - 1);
    curl_easy_setopt(easy, CURLOPT_RANGE, range.c_str());
    if (!request.if_range.empty()) {
      lines = curl_slist_append(lines, ("If-Range: " + request.if_range).c_str());
    }
  }
  if (request.method == Method::kPropfind || request.method == Method::kPropfindMembers) {
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PROPFIND");
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, kWantedProperties);
    const bool members = request.method == Method::kPropfindMembers;
    lines = curl_slist_append(lines, members ? "Depth: 1" : "Depth: 0");
    lines = curl_slist_append(lines, "Content-Type: application/xml");
  }
  lines_.reset(lines);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, lines);
  engine_.prepare_sockets(easy);
  set_trust(easy, settings);
  set_login();
  return {};
}

void Exchange::set_trust(CURL* easy, const Settings& settings) {
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (settings.ca_cert.empty()) return;
  curl_easy_setopt(easy, CURLOPT_CAINFO, settings.ca_cert.c_str());
  // libcurl believes the system's folder of CAs beside the file, unless told not to.
  curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
}

// To the server that the user named, or to its https: side, and to nobody else.
void Exchange::set_login() {
  const Settings& settings = engine_.settings();
  if (!settings.has_login() || !takes_login(settings.server, url_)) return;
  CURL* const easy = handle_.get();
  if (!settings.user.empty()) {
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
    curl_easy_setopt(easy, CURLOPT_USERNAME, settings.user.c_str());
    curl_easy_setopt(easy, CURLOPT_PASSWORD, settings.password.c_str());
  }
  if (!settings.bearer.empty()) {
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
    curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, settings.bearer.c_str());
  }
  if (settings.netrc) {
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
    curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_REQUIRED));
    if (!settings.netrc_file.empty()) {
      curl_easy_setopt(easy, CURLOPT_NETRC_FILE, settings.netrc_file.c_str());
    }
  }
  if (!settings.certificate.empty()) {
    curl_easy_setopt(easy, CURLOPT_SSLCERT, settings.certificate.c_str());
    if (!settings.key.empty()) curl_easy_setopt(easy, CURLOPT_SSLKEY, settings.key.c_str());
  }
}

size_t Exchange::on_header(char* data, size_t size, size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  const size_t bytes = size * count;
  exchange.head_bytes_ += bytes;
  if (exchange.head_bytes_ > kHeadBytesMax) {
    exchange.error_ = Error(EIO, "http.answer", exchange.url_ + ": the answer's head has no end");
    return CURL_WRITEFUNC_ERROR;
  }
  const bool was_complete = exchange.head_.complete();
  exchange.head_.add_line({data, bytes});
  if (exchange.head_.complete() && !was_complete) exchange.head_came();
  return exchange.error_ ? CURL_WRITEFUNC_ERROR : bytes;
}

void Exchange::head_came() {
  if (head_seen_) {
    error_ = Error(EIO, "http.answer", url_ + ": two answers to one request");
    return;
  }
  head_seen_ = true;
  engine_.note_answer(head_);
  if (head_.contradicts_itself()) {
    error_ = Error(EIO, "http.answer", url_ + ": the answer's head contradicts itself");
    return;
  }
  if (head_.is_redirect()) {
    next_ = Next::kFollow;
    return;
  }
  if (is_busy(head_.status()) && come_backs_ < kComeBacksMax) {
    const MonoTime now = engine_.now();
    const MonoTime until = std::min(transfer_->request().deadline.at, now + kComeBackMax);
    const std::optional<std::chrono::seconds> wait =
        parse_retry_after(head_.retry_after(), engine_.wall_seconds());
    if (wait && now + *wait < until) {
      next_ = Next::kComeBack;
      pause_ = *wait;
      return;
    }
  }
  const auto check = transfer_->request().check;
  Result<void> taken = check != nullptr && head_.status() == 200 ? check(head_) : Result<void>();
  if (taken.ok()) taken = transfer_->head(head_);
  if (!taken.ok()) error_ = std::move(taken).error();
}

size_t Exchange::on_body(char* data, size_t size, size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  const size_t bytes = size * count;
  if (bytes == 0) return 0;
  if (exchange.error_) return CURL_WRITEFUNC_ERROR;
  if (!exchange.head_seen_) {
    exchange.error_ = Error(EIO, "http.answer", exchange.url_ + ": a body without a head");
    return CURL_WRITEFUNC_ERROR;
  }
  if (exchange.next_ != Next::kDone) {
    exchange.skipped_bytes_ += bytes;
    const bool follows = exchange.next_ == Next::kFollow;
    if (exchange.skipped_bytes_ <= (follows ? kRedirectBytesMax : kSkippedBytesMax)) return bytes;
    if (follows) {
      exchange.error_ =
          Error(EIO, "http.redirect", exchange.url_ + ": the redirect comes with too long a page");
    }
    return CURL_WRITEFUNC_ERROR;
  }
  const Result<Transfer::Taken> taken =
      exchange.transfer_->body(std::as_bytes(std::span(data, bytes)));
  if (!taken.ok()) {
    exchange.error_ = taken.error();
    return CURL_WRITEFUNC_ERROR;
  }
  exchange.paused_ = taken.value() == Transfer::Taken::kPause;
  return exchange.paused_ ? CURL_WRITEFUNC_PAUSE : bytes;
}

void Exchange::let_go() {
  if (!error_) error_ = Error(ECANCELED, "http.transfer");
  if (paused_) curl_easy_pause(handle_.get(), CURLPAUSE_CONT);
}

Result<std::string> Exchange::target() const {
  const char* text = nullptr;
  curl_easy_getinfo(handle_.get(), CURLINFO_REDIRECT_URL, &text);
  return redirect_target(url_, text != nullptr ? text : "");
}

Exchange::Verdict Exchange::judge(CURLcode code) {
  Verdict verdict;
  if (error_) {
    verdict.result = *error_;
    return verdict;
  }
  const bool cut_here = code == CURLE_WRITE_ERROR && skipped_bytes_ > kSkippedBytesMax;
  if (next_ == Next::kComeBack && (code == CURLE_OK || cut_here)) {
    ++come_backs_;
    return {.next = Next::kComeBack, .result = {}, .pause = pause_};
  }
  if (code != CURLE_OK) {
    long os_error = 0;
    curl_easy_getinfo(handle_.get(), CURLINFO_OS_ERRNO, &os_error);
    Error error = error_of_curl(code, static_cast<int>(os_error), url_, detail_);
    // The kernel gave up on a connection, well before we would.
    const bool early = !transfer_->request().deadline.passed(engine_.now() + kTimerSlack);
    if (code == CURLE_OPERATION_TIMEDOUT && early) {
      error = Error(ENOTCONN, "http.transfer", error.detail());
    }
    verdict.result = std::move(error);
    return verdict;
  }
  if (!head_seen_) {
    verdict.result = Error(EIO, "http.answer", url_ + ": the answer ended before its head did");
    return verdict;
  }
  if (next_ != Next::kFollow) return verdict;
  Result<std::string> to = target();
  if (!to.ok()) {
    verdict.result = std::move(to).error();
  } else if (!transfer_->follow(to.value())) {
    verdict.result = transfer_->head(head_);
  } else if (++redirects_ > kRedirectsMax) {
    verdict.result = Error(ELOOP, "http.redirect", url_ + ": the server leads on and on");
  } else {
    url_ = std::move(to).value();
    verdict.next = Next::kFollow;
  }
  return verdict;
}

uint16_t Exchange::local_port() const {
  long port = 0;
  if (handle_) curl_easy_getinfo(handle_.get(), CURLINFO_LOCAL_PORT, &port);
  return port > 0 && port <= UINT16_MAX ? static_cast<uint16_t>(port) : 0;
}

}  // namespace netfs::origins::http
