// A directory is listed: its page is fetched and decoded, and its files are looked at.

#include <algorithm>
#include <cerrno>
#include <deque>
#include <optional>
#include <spdlog/fmt/fmt.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
// Kinds of files that are compared with what is listed of them, in one listing.
constexpr size_t kSamplesMax = 8;
constexpr int64_t kSettlesInSeconds = 2;

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

// A tag of this second may be weak and strong in the next (Apache), and what is being written has
// many sizes: who changes it now is looked at.
bool has_settled(const Listing& listing, const ListedName& entry) {
  return entry.mtime_seconds &&
         *entry.mtime_seconds < listing.listed_at_seconds - kSettlesInSeconds;
}

// A name that is there and of which nothing more is known.
OriginEntry unknown(std::string name) {
  return {.name = std::move(name), .info = {}};
}

bool is_no_page(const Error& error) {
  return error.code() == EOPNOTSUPP || error.code() == EACCES || error.code() == EFBIG;
}

// Of it nothing can be said now; all else that a look fails with is the file's.
bool is_away(const Error& error) {
  switch (error.code()) {
    case ETIMEDOUT:
    case EAGAIN:
    case ENOTCONN:
    case ECONNRESET:
    case ECANCELED:
    case ENOMEM:
      return true;
    default:
      return false;
  }
}

struct Looking {
  ListedName* entry;
  bool known;      // by the listing
  Ref<Call> call;  // null: nothing was asked
};

}  // namespace

Error HttpOrigin::cannot_list(const std::string& path, Error error, Deadline deadline) {
  if (error.code() == ENOENT && !path.empty()) {
    const Result<Seen> seen = look_at(path, deadline);
    if (seen.ok() && !seen.value().is_directory) return Error(ENOTDIR, "http.list");
  }
  // EIO of our own: what came is no listing as its type has them.
  const bool unlisted = is_no_page(error) ||
                        (error.code() == EIO && std::string_view(error.context()) == "http.list");
  if (unlisted && !unlisted_told_.exchange(true)) {
    telemetry::log_warn("http",
                        "{}{}: cannot be listed ({}); files are found by their names all the same "
                        "(said once)",
                        base_, path, error.message());
  }
  return error;
}

Result<Listing> HttpOrigin::fetch_listing(const std::string& path, Deadline deadline) {
  const std::string url = path.empty() ? base_ : url_of(path) + "/";
  if (!webdav_->speaks()) return fetch_page(url, deadline);
  Result<Listing> by_webdav = webdav_->list(url, deadline);
  if (by_webdav.ok() || !WebDav::leaves_the_page(by_webdav.error())) return by_webdav;
  Result<Listing> by_page = fetch_page(url, deadline);
  webdav_->page_came(url, by_webdav.error(), by_page.ok());
  if (by_page.ok()) return by_page;
  // That there is no page says nothing of a server that lists by WebDAV as a rule, and why it did
  // not does: that it has no time, say.  That the directory is gone is the page's to say.
  const bool no_page = is_no_page(by_page.error());
  const bool says_why = !by_webdav.is_error(EOPNOTSUPP) && !by_webdav.is_error(ENOENT);
  return no_page && says_why ? std::move(by_webdav) : std::move(by_page);
}

Result<Listing> HttpOrigin::fetch_page(const std::string& url, Deadline deadline) {
  const int64_t sent_seconds = engine_->wall_seconds();
  const Call::Answer answer = TRY(
      looker_->ask({.method = Method::kGet, .url = url, .deadline = deadline, .check = check_type},
                   {.body_bytes_max = kPageBytesMax}));
  if (answer.head.status() != 200) return error_of_status(answer.head.status(), url);
  if (!is_same_path(url, answer.url)) {
    return Error(EOPNOTSUPP, "http.list", "the server leads on to another page");
  }
  TRY(refuse_encoding(*side_, answer.head, url));
  Listing listing;
  listing.by_json = is_json(answer.head);
  listing.page =
      TRY(listing.by_json ? parse_json_listing(answer.body) : parse_html_listing(answer.body));
  listing.listed_at_seconds = answer.head.date().value_or(sent_seconds);
  listing.skew_seconds = skew_of(answer.head, engine_->wall_seconds());
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
  const Edition listed = edition_of(std::nullopt, sample->mtime_seconds, *sample->size_bytes, 0);
  return !seen.value().is_directory && compare(listed, seen.value().edition) == Sameness::kSame;
}

void HttpOrigin::note_page(const Listing& listing, bool exact) {
  const bool has_files = std::any_of(listing.page.names.begin(), listing.page.names.end(),
                                     [](const ListedName& one) { return !one.is_directory; });
  pages_say_all_.store(listing.by_json && (exact || !has_files), std::memory_order_relaxed);
}

// Of each kind of file of which it is not known yet whether WebDAV says what a look says, one that
// is not empty is looked at; as many at a time as the listing has turns for.
void HttpOrigin::compare_kinds(const std::string& url, const Listing& listing,
                               const LooksShared::Listing& turns, Deadline deadline) {
  struct Compared {
    std::string kind;
    const ListedName* entry;
    Ref<Call> call;
  };
  std::vector<Compared> samples;
  size_t compared = 0;  // the first of them
  const auto compare_next = [&] {
    Compared& one = samples[compared++];
    const Result<Seen> seen = looker_->finish(*std::exchange(one.call, nullptr), deadline);
    if (seen.ok() && !seen.value().is_directory) {
      kinds_.compared(one.kind, *one.entry, seen.value().edition);
    } else if (seen.ok() || !is_away(seen.error())) {
      kinds_.not_compared(one.kind);
    }
  };
  for (const ListedName& entry : listing.page.names) {
    if (samples.size() == kSamplesMax) break;
    if (entry.size_bytes.value_or(0) == 0 || !has_settled(listing, entry)) continue;
    std::string kind = ListedKinds::kind_of(entry);
    const bool taken = std::any_of(samples.begin(), samples.end(),
                                   [&](const Compared& one) { return one.kind == kind; });
    if (taken || kinds_.of(kind) != ListedKinds::Verdict::kUnknown) continue;
    while (samples.size() - compared >= turns.looks_max(engine_->counts().http2)) compare_next();
    samples.push_back(
        {std::move(kind), &entry, looker_->begin(url + percent_encode_path(entry.name), deadline)});
  }
  while (compared < samples.size()) compare_next();
}

// The listing says of it all that a look would say.
bool HttpOrigin::is_known(const Listing& listing, const ListedName& entry, bool exact) const {
  if (entry.is_directory) return true;
  if (!entry.size_bytes || !entry.mtime_seconds) return false;
  if (!listing.by_webdav) return exact;
  // Of length 0 is said to be what is made anew for each GET (look.h).
  return *entry.size_bytes > 0 && has_settled(listing, entry) &&
         kinds_.of(ListedKinds::kind_of(entry)) == ListedKinds::Verdict::kSame;
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
  const LooksShared::Listing listing(looks_);
  if (fetched.value().by_webdav) compare_kinds(url, fetched.value(), listing, looks);
  const bool exact = !fetched.value().by_webdav && is_exact(url, page, looks);
  if (!fetched.value().by_webdav) note_page(fetched.value(), exact);
  std::deque<Looking> under_way;
  auto next = page.names.begin();
  while (next != page.names.end() || !under_way.empty()) {
    while (next != page.names.end() &&
           under_way.size() < listing.looks_max(engine_->counts().http2)) {
      Looking looking{.entry = &*next++, .known = false, .call = nullptr};
      const ListedName& entry = *looking.entry;
      looking.known = is_known(fetched.value(), entry, exact);
      if (!looking.known && clock_.now() < look_until) {
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
    } else if (first.known) {
      out.info = edition_of(entry.tag, entry.mtime_seconds, *entry.size_bytes,
                            fetched.value().skew_seconds)
                     .info();
    }
    TRY(sink(std::move(out)));
  }
  return {};
}

}  // namespace netfs::origins::http
