// A directory is listed: its page is fetched and decoded, and its files are looked at.

#include <algorithm>
#include <deque>
#include <spdlog/fmt/fmt.h>
#include <string_view>

#include "origins/http/answer_error.h"
#include "origins/http/http_origin.h"
#include "origins/http/listing.h"
#include "origins/http/url_parts.h"
#include "origins/percent.h"
#include "telemetry/log.h"

namespace netfs::origins::http {

namespace {

constexpr size_t kPageBytesMax = size_t{128} << 20;
// For this long new looks are begun; what is left then has an unknown type, and is looked up by who
// wants to know.  A listing must not take minutes because each of its names costs a round trip.
constexpr Duration kLookFor = std::chrono::seconds(2);
// One that is not answered so long after that is given up as well.
constexpr Duration kLookPatience = std::chrono::seconds(1);

bool is_json(const ResponseHead& head) {
  return head.content_type().starts_with("application/json");
}

// A listing is text/html, or JSON; or nobody says what it is.
Result<void> check_type(const ResponseHead& head) {
  const std::string& type = head.content_type();
  if (type.empty() || type.starts_with("text/html") || is_json(head)) return {};
  return Error(EOPNOTSUPP, "http.list",
               fmt::format("what is here is of type {}", type.substr(0, 40)));
}

// Whether a listing that was asked for at `from` came from there, whoever served it.  The page that
// a server leads strangers on to (a login, say) lists something else.
bool is_same_path(const std::string& from, const std::string& to) {
  if (from == to) return true;
  const std::optional<UrlParts> a = UrlParts::parse(from);
  const std::optional<UrlParts> b = UrlParts::parse(to);
  if (!a || !b) return false;
  const std::optional<std::string> path = percent_decode(a->path);
  const std::optional<std::string> led_to = percent_decode(b->path);
  return path && led_to && (*led_to == *path || *led_to == *path + "/");
}

// A name that is there and of which nothing more is known.
OriginEntry unknown(std::string name) {
  return {.name = std::move(name), .info = {}};
}

struct Looking {
  ListedName* entry;
  Ref<Call> call;  // null: nothing was asked
};

}  // namespace

Error HttpOrigin::cannot_list(const std::string& path, Error error, Deadline deadline) {
  if (error.code() == ENOENT && !path.empty()) {
    const Result<Seen> seen = look_at(path, deadline);
    if (seen.ok() && !seen.value().is_directory) return Error(ENOTDIR, "http.list");
  }
  // EIO of our own: what came is no listing as its type has them.
  const bool unlisted = error.code() == EOPNOTSUPP || error.code() == EACCES ||
                        error.code() == EFBIG ||
                        (error.code() == EIO && std::string_view(error.context()) == "http.list");
  if (unlisted && !unlisted_told_.exchange(true)) {
    telemetry::log_warn("http",
                        "{}{}: cannot be listed ({}); files are found by their names all the same "
                        "(said once)",
                        base_, path, error.message());
  }
  return error;
}

Result<HttpOrigin::Listing> HttpOrigin::fetch_listing(const std::string& path, Deadline deadline) {
  const std::string url = path.empty() ? base_ : url_of(path) + "/";
  const Call::Answer answer = TRY(
      looker_->ask({.method = Method::kGet, .url = url, .deadline = deadline, .check = check_type},
                   {.body_bytes_max = kPageBytesMax}));
  if (answer.head.status() != 200) return error_of_status(answer.head.status(), url);
  if (!is_same_path(url, answer.url)) {
    return Error(EOPNOTSUPP, "http.list", "the server leads on to another page");
  }
  TRY(refuse_encoding(*side_, answer.head, url));
  Listing listing;
  listing.page =
      TRY(is_json(answer.head) ? parse_json_listing(answer.body) : parse_html_listing(answer.body));
  listing.skew_seconds = skew_of(answer.head, side_->engine.wall_seconds());
  return listing;
}

// Whether the sizes and times of a JSON listing are those that the server shows of the files
// themselves: one is compared, that is not empty.
bool HttpOrigin::is_exact(const std::string& url, const ListingPage& page, Deadline deadline) {
  const auto sample = std::find_if(page.names.begin(), page.names.end(), [](const auto& entry) {
    return entry.size_bytes.value_or(0) > 0 && entry.mtime_seconds;
  });
  if (sample == page.names.end()) return false;
  const Result<Seen> seen = looker_->look(url + percent_encode_path(sample->name), deadline);
  if (!seen.ok()) return false;
  const Edition listed = edition_of(*sample->mtime_seconds, *sample->size_bytes, 0);
  return !seen.value().is_directory && compare(listed, seen.value().edition) == Sameness::kSame;
}

Result<void> HttpOrigin::list(const std::string& path, Deadline deadline, const EntrySink& sink) {
  TRY(check_lengths(path));
  Result<Listing> fetched = fetch_listing(path, deadline);
  if (!fetched.ok()) return cannot_list(path, std::move(fetched).error(), deadline);
  ListingPage& page = fetched.value().page;
  refused_names_ += page.refused;
  const std::string url = path.empty() ? base_ : url_of(path) + "/";
  const MonoTime look_until = clock_.now() + kLookFor;
  const Deadline looks{.at = std::min(deadline.at, look_until + kLookPatience)};
  const bool exact = is_exact(url, page, looks);
  const LooksShared::Listing listing(looks_);
  std::deque<Looking> under_way;
  auto next = page.names.begin();
  while (next != page.names.end() || !under_way.empty()) {
    while (next != page.names.end() &&
           under_way.size() < listing.looks_max(engine_->counts().http2)) {
      Looking looking{.entry = &*next++, .call = nullptr};
      const ListedName& entry = *looking.entry;
      const bool known = entry.is_directory || (exact && entry.size_bytes && entry.mtime_seconds);
      if (!known && clock_.now() < look_until) {
        looking.call = looker_->begin(url + percent_encode_path(entry.name), looks);
      }
      under_way.push_back(std::move(looking));
    }
    const Looking first = std::move(under_way.front());
    under_way.pop_front();
    ListedName& entry = *first.entry;
    OriginEntry out = unknown(std::move(entry.name));
    if (entry.is_directory) {
      out.info = directory_info();
    } else if (first.call) {
      const Result<Seen> seen = looker_->finish(*first.call, looks);
      // Listed, and not there: a link to nowhere, or gone meanwhile.
      if (seen.is_error(ENOENT)) continue;
      const bool late = seen.is_error(ETIMEDOUT) && deadline.passed(clock_.now());
      if (late || seen.is_error(ECANCELED)) return seen.error();
      if (seen.ok()) out.info = seen.value().info();
    } else if (exact && entry.size_bytes && entry.mtime_seconds) {
      out.info =
          edition_of(*entry.mtime_seconds, *entry.size_bytes, fetched.value().skew_seconds).info();
    }
    TRY(sink(std::move(out)));
  }
  return {};
}

}  // namespace netfs::origins::http
