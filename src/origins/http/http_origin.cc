#include "origins/http/http_origin.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include "origins/http/answer_error.h"
#include "origins/http/http_file.h"
#include "origins/http/range_read.h"
#include "origins/http/url_parts.h"
#include "origins/percent.h"
#include "telemetry/log.h"

namespace netfs::origins::http {

Result<std::unique_ptr<Origin>> HttpOrigin::open(const OriginRequest& request) {
  // Not within the new expression: what returns from there leaks.
  Settings settings = TRY(Settings::parse(request));
  std::unique_ptr<HttpOrigin> origin(new HttpOrigin(std::move(settings), *request.clock));
  origin->engine_ = TRY(Engine::create(origin->settings_, *request.clock));
  origin->side_ = std::make_unique<ReadSide>(*origin->engine_);
  origin->looker_ = std::make_unique<Looker>(*origin->side_);
  origin->webdav_ = std::make_unique<WebDav>(*origin->side_, *origin->looker_);
  const Deadline deadline = Deadline::after(*request.clock, request.timeout);
  TRY(origin->find_root(deadline, request.url.text));
  return std::unique_ptr<Origin>(std::move(origin));
}

namespace {

// The URL of a directory at `asked`, without '/', of which the server said by leading on to
// `led_to` that it is one.  A server behind a proxy may not know its own name, so that is not
// asked; but where the same host leads to its https: side nothing more goes there in clear.
std::string directory_url(const UrlParts& asked, const std::string& led_to) {
  const std::optional<UrlParts> to = UrlParts::parse(led_to);
  const bool secured =
      to && asked.scheme == "http" && to->scheme == "https" && to->host == asked.host;
  return secured ? to->url : asked.url + "/";
}

}  // namespace

Result<void> HttpOrigin::find_root(Deadline deadline, const std::string& asked_for) {
  const auto refuse = [&](const Error& error, const std::string& advice = "") {
    std::string why = error.detail();
    if (!advice.empty()) why += "; " + advice;
    if (!why.empty()) why = " (" + why + ")";
    return Error(error.code(), "http.open",
                 fmt::format("{}: {}{}", asked_for, strerror(error.code()), why));
  };
  base_ = settings_.server + percent_encode_path(settings_.path);
  const bool slash = base_.ends_with('/');
  TransferRequest question{.method = Method::kHead, .url = base_, .deadline = deadline};
  const Call::Options options{.body_bytes_max = 0, .stop_at_directory = true};
  const Ref<Call> first = make_ref<Call>(question, options);
  engine_->submit(first);
  // On its way meanwhile, and as a rule answered by then.
  const Ref<Call> dav = settings_.webdav ? webdav_->begin(base_, deadline) : nullptr;
  Result<Call::Answer> answer = first->wait();
  if (answer.is_error(ECONNRESET)) answer = looker_->ask(question, options);
  if (answer.ok() && (answer.value().head.status() == 405 || answer.value().head.status() == 501)) {
    question.method = Method::kGet;
    answer = looker_->ask(question, options);
  }
  if (answer.ok() && dav) webdav_->finish(*dav);
  if (!answer.ok()) return refuse(answer.error(), advice_on_transfer(answer.error()));
  const int status = answer.value().head.status();
  const std::optional<UrlParts> end = UrlParts::parse(answer.value().url);
  if (!end) return refuse(Error(EIO, "http.open"));
  if (answer.value().is_directory) {
    base_ = directory_url(*end, answer.value().led_to);
    return {};
  }
  if (!slash && status == 200) return refuse(Error(ENOTDIR, "http.open"));
  // 403: most servers' word for a directory that they do not list; its files may be had.
  if (!slash || (status != 200 && status != 403)) {
    return refuse(error_of_status(status, base_), advice_on_status(status, settings_.has_login()));
  }
  if (end->query.empty() && end->path.ends_with('/')) base_ = end->url;
  return {};
}

unsigned HttpOrigin::listings_ahead() const {
  const unsigned most = capabilities_.listings_ahead;
  const bool cheap = webdav_->speaks() || pages_say_all_.load(std::memory_order_relaxed);
  return cheap ? most : std::min(most, settings_.connections / 8);
}

// A name that no file system has, HTTP has not either: what a server would do with it differs.
Result<void> HttpOrigin::check_lengths(const std::string& path) {
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (end - at > NAME_MAX) return Error(ENAMETOOLONG, "http.look");
    at = end + 1;
  }
  if (path.size() >= PATH_MAX) return Error(ENAMETOOLONG, "http.look");
  return {};
}

std::string HttpOrigin::volume_key() const {
  return fmt::format("{} uid={} {}", base_, ::geteuid(), settings_.identity);
}

std::string HttpOrigin::url_of(const std::string& path) const {
  return base_ + percent_encode_path(path);
}

Result<Seen> HttpOrigin::look_at(const std::string& path, Deadline deadline) {
  TRY(check_lengths(path));
  return looker_->look(url_of(path), deadline);
}

Result<NodeInfo> HttpOrigin::stat(const std::string& path, Deadline deadline) {
  if (!path.empty()) return TRY(look_at(path, deadline)).info();
  const Call::Answer answer =
      TRY(looker_->ask({.method = Method::kHead, .url = base_, .deadline = deadline}, {}));
  const int status = answer.head.status();
  const bool there = status < 300 || status == 403 || status == 405 || status == 501;
  if (!there) return error_of_status(status, base_);
  return directory_info();
}

Result<std::string> HttpOrigin::read_link(const std::string& path, Deadline deadline) {
  TRY(stat(path, deadline));
  return Error(EINVAL, "http.read_link");
}

Result<FileSystemStats> HttpOrigin::stat_file_system(Deadline) {
  return Error(EOPNOTSUPP, "http.stat_file_system");
}

Result<std::unique_ptr<OriginFile>> HttpOrigin::open(const std::string& path, Deadline deadline) {
  if (path.empty()) return Error(EISDIR, "http.open");
  Seen seen = TRY(look_at(path, deadline));
  if (seen.is_directory) return Error(EISDIR, "http.open");
  TRY(try_ranges(path, seen.edition, deadline));
  return std::unique_ptr<OriginFile>(std::make_unique<HttpFile>(
      make_ref<FileState>(*side_, url_of(path), std::move(seen.edition))));
}

// Of a server that has ranges: else the whole file might come for each part of it.
std::unique_ptr<OriginFile> HttpOrigin::open_by_read(const std::string& path) {
  const bool has_ranges = side_->ranges_seen && !side_->ranges_ignored;
  if (path.empty() || !has_ranges || !check_lengths(path).ok()) return nullptr;
  return std::make_unique<HttpFile>(make_ref<FileState>(*side_, url_of(path), std::nullopt));
}

// A server that says nothing of ranges is asked for one, once, before many reads ask for one each
// and get the whole file as often.
Result<void> HttpOrigin::try_ranges(const std::string& path, const Edition& edition,
                                    Deadline deadline) {
  if (edition.ranges_said || edition.ranges_denied || side_->ranges_known) return {};
  // The whole of it is the part that was asked for, or there is none.
  if (edition.size_bytes < 2) return {};
  const Call::Answer answer = TRY(looker_->ask(
      {.method = Method::kGet, .url = url_of(path), .range = {0, 1}, .deadline = deadline}, {}));
  if (answer.head.status() != 200 && answer.head.status() != 206) return {};
  side_->ranges_ignored = answer.head.status() == 200;
  side_->ranges_known = true;
  return {};
}

void HttpOrigin::issue_read(Subrequest& subrequest) {
  const Ref<FileState>& file = static_cast<HttpFile&>(subrequest.file()).state();
  engine_->post([file, read = &subrequest] { RangeRead::start(file, *read); });
}

StatusFields HttpOrigin::status() const {
  const Engine::Counts counts = engine_->counts();
  const bool no_ranges = side_->ranges_ignored || side_->whole_read;
  return {
      {"server", base_},
      {"protocol", counts.http2 ? "HTTP/2" : "HTTP/1"},
      {"connections", fmt::format("{} of {}", counts.open_connections, settings_.connections)},
      {"requests", fmt::format("{}", counts.requests)},
      {"listings", webdav_->speaks() ? "by WebDAV" : "by page"},
      {"ranges", no_ranges ? "no: files are read from their start" : "yes"},
      {"busy answers", fmt::format("{}", counts.busy_answers)},
      {"names refused", fmt::format("{}", refused_names_.load())},
  };
}

}  // namespace netfs::origins::http
