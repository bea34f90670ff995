#pragma once
// HttpOrigin: a tree of a web server, http://HOST[:PORT]/PATH/ or https:, to be read.
//
// Names: what the server lists (listing.h), and any name that it answers a HEAD for.  A URL with a
// '/' at its end is a directory; that a name is one, the server says by leading on to that URL.
// There are no links, owners or permissions: files are 0444 of whoever mounts, directories 0555.
// Sizes and times are those of the HEAD of each file, or of a listing that has the same (WebDAV's
// and JSON), never those that a listing has for people; names of a large listing for which there
// was no time are of unknown type until they are looked up. Versions: edition.h.  Reads:
// range_read.h, and stream.h where the server has no ranges.
//
// Options and logins: settings.h.  Thread-safe.

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>

#include "netfs/origin.h"
#include "origins/http/engine.h"
#include "origins/http/listed_kinds.h"
#include "origins/http/listing.h"
#include "origins/http/look.h"
#include "origins/http/looks_shared.h"
#include "origins/http/read_side.h"
#include "origins/http/settings.h"
#include "origins/http/webdav.h"
#include "origins/module.h"

namespace netfs::origins::http {

class HttpOrigin final : public Origin {
 public:
  static Result<std::unique_ptr<Origin>> open(const OriginRequest& request);

  [[nodiscard]] const OriginCapabilities& capabilities() const override { return capabilities_; }
  // Few while each may take a HEAD for each of its names (looks_shared.h).
  [[nodiscard]] unsigned listings_ahead() const override;
  [[nodiscard]] std::string volume_key() const override;
  Result<NodeInfo> stat(const std::string& path, Deadline deadline) override;
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override;
  Result<std::string> read_link(const std::string& path, Deadline deadline) override;
  Result<FileSystemStats> stat_file_system(Deadline deadline) override;
  Result<std::unique_ptr<OriginFile>> open(const std::string& path, Deadline deadline) override;
  std::unique_ptr<OriginFile> open_by_read(const std::string& path) override;
  void issue_read(Subrequest& subrequest) override;
  [[nodiscard]] StatusFields status() const override;

 private:
  HttpOrigin(Settings settings, const Clock& clock)
      : settings_(std::move(settings)), clock_(clock) {}

  // Finds that the root is a directory, where it is, and how it is listed.
  Result<void> find_root(Deadline deadline, const std::string& asked_for);
  [[nodiscard]] std::string url_of(const std::string& path) const;
  Result<Seen> look_at(const std::string& path, Deadline deadline);
  Result<void> try_ranges(const std::string& path, const Edition& edition, Deadline deadline);
  static Result<void> check_lengths(const std::string& path);
  // http_list.cc
  Result<Listing> fetch_listing(const std::string& path, Deadline deadline);
  Result<Listing> fetch_page(const std::string& url, Deadline deadline);
  bool is_exact(const std::string& url, const ListingPage& page, Deadline deadline);
  void note_page(const Listing& listing, bool exact);
  void compare_kinds(const std::string& url, const Listing& listing,
                     const LooksShared::Listing& turns, Deadline deadline);
  [[nodiscard]] bool is_known(const Listing& listing, const ListedName& entry, bool exact) const;
  Error cannot_list(const std::string& path, Error error, Deadline deadline);

  // With fewer, who waits would stand behind what nobody has asked for.
  static constexpr unsigned kFilesAheadConnections = 4;
  static constexpr unsigned kListingsAheadMax = 16;

  const Settings settings_;
  // One of eight is left for what somebody waits for, of those that read and of those that list.
  const unsigned ahead_ = settings_.connections - std::max(settings_.connections / 8, 1U);
  // A connection needs some data under way to be worth its round trip.
  const OriginCapabilities capabilities_{
      .read_bytes_max = 4 << 20,
      .reads_ahead = std::max(ahead_, 1U),
      .listings_ahead =
          settings_.connections < kFilesAheadConnections ? 0 : std::min(ahead_, kListingsAheadMax),
      .files_ahead = settings_.connections >= kFilesAheadConnections,
      .opens_by_read = true};
  const Clock& clock_;
  std::string base_;  // URL of the root, escaped, with its '/'; set before anybody else is here
  std::atomic<uint64_t> refused_names_{0};
  LooksShared looks_{settings_.connections};
  // The last page was JSON, and left no file to be looked at.
  std::atomic<bool> pages_say_all_{false};
  std::atomic<bool> unlisted_told_{false};  // a line is in the log
  std::unique_ptr<ReadSide> side_;
  std::unique_ptr<Engine> engine_;  // goes first: its thread uses the others
  std::unique_ptr<Looker> looker_;
  std::unique_ptr<WebDav> webdav_;
  ListedKinds kinds_;
};

}  // namespace netfs::origins::http
