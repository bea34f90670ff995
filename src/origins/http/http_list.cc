// A directory is listed: its page is fetched and decoded, and its files are looked at.

#include <algorithm>
#include <deque>
#include <spdlog/fmt/fmt.h>

#include "origins/http/answer_error.h"
#include "origins/http/http_origin.h"
#include "origins/http/listing.h"
#include "origins/percent.h"
#include "telemetry/log.h"

namespace netfs::origins::http {

namespace {

constexpr size_t kPageBytesMax = size_t{128} << 20;
// Looks under way at a time: HTTP/2 takes about a hundred on one connection.
constexpr size_t kLooksMax = 128;
// For this long new looks are begun; what is left then has an unknown type, and is looked up by who
// wants to know.  A listing must not take minutes because each of its names costs a round trip.
constexpr Duration kLookFor = std::chrono::seconds(2);

bool is_json(const ResponseHead& head) {
  return head.content_type().starts_with("application/json");
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
  const bool unlisted = error.code() == EOPNOTSUPP || error.code() == EACCES;
  if (unlisted && !unlisted_told_.exchange(true)) {
    telemetry::log_warn("http",
                        "{}{}: the server lists nothing here ({}); files are found by their names "
                        "all the same (said once)",
                        base_, path, error.message());
  }
  return error;
}

Result<ListingPage> HttpOrigin::fetch_listing(const std::string& path, Deadline deadline) {
  const std::string url = path.empty() ? base_ : url_of(path) + "/";
  const Call::Answer answer =
      TRY(looker_->ask({.method = Method::kGet, .url = url, .deadline = deadline},
                       {.body_bytes_max = kPageBytesMax}));
  if (answer.head.status() != 200) return error_of_status(answer.head.status(), url);
  TRY(refuse_encoding(*side_, answer.head, url));
  return is_json(answer.head) ? parse_json_listing(answer.body) : parse_html_listing(answer.body);
}

// Whether the sizes and times of a JSON listing are those that the server shows of the files
// themselves: one is compared.
Result<bool> HttpOrigin::is_exact(const std::string& url, const ListingPage& page,
                                  Deadline deadline) {
  const auto sample = std::find_if(page.names.begin(), page.names.end(), [](const auto& entry) {
    return entry.size_bytes && entry.mtime_seconds;
  });
  if (sample == page.names.end()) return false;
  const Result<Seen> seen = looker_->look(url + percent_encode_path(sample->name), deadline);
  if (!seen.ok()) return false;
  const Edition listed = edition_of(*sample->mtime_seconds, *sample->size_bytes);
  return !seen.value().is_directory && compare(listed, seen.value().edition) == Sameness::kSame;
}

Result<void> HttpOrigin::list(const std::string& path, Deadline deadline, const EntrySink& sink) {
  TRY(check_lengths(path));
  Result<ListingPage> fetched = fetch_listing(path, deadline);
  if (!fetched.ok()) return cannot_list(path, std::move(fetched).error(), deadline);
  ListingPage& page = fetched.value();
  refused_names_ += page.refused;
  const std::string url = path.empty() ? base_ : url_of(path) + "/";
  const bool exact = TRY(is_exact(url, page, deadline));
  const MonoTime look_until = clock_.now() + kLookFor;
  std::deque<Looking> under_way;
  auto next = page.names.begin();
  while (next != page.names.end() || !under_way.empty()) {
    while (next != page.names.end() && under_way.size() < kLooksMax) {
      Looking looking{.entry = &*next++, .call = nullptr};
      const ListedName& entry = *looking.entry;
      const bool known = entry.is_directory || (exact && entry.size_bytes && entry.mtime_seconds);
      if (!known && clock_.now() < look_until) {
        looking.call = looker_->begin(url + percent_encode_path(entry.name), deadline);
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
      const Result<Seen> seen = looker_->finish(*first.call, deadline);
      // Listed, and not there: a link to nowhere, or gone meanwhile.
      if (seen.is_error(ENOENT)) continue;
      if (seen.is_error(ETIMEDOUT) || seen.is_error(ECANCELED)) return seen.error();
      if (seen.ok()) out.info = seen.value().info();
    } else if (exact && entry.size_bytes && entry.mtime_seconds) {
      out.info = edition_of(*entry.mtime_seconds, *entry.size_bytes).info();
    }
    TRY(sink(std::move(out)));
  }
  return {};
}

}  // namespace netfs::origins::http
