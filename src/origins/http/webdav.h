#pragma once
// WebDav: directories listed by PROPFIND (RFC 4918), where the server speaks that.
//
// Whether it does is asked once, beside the first look at the root: whoever refuses is listed by
// its pages.  A directory that is not listed so is listed by its page, and what that was refused
// with says nothing of the rest of the tree: only where the answer is that of a server that does
// not know the question (405, 501, no multistatus), several times in a row and of directories whose
// pages list, no more of them are asked for some minutes.
//
// Thread-safe; begin() and finish() by one thread, before anybody else is here.

#include <atomic>
#include <set>
#include <string>

#include "origins/http/listing.h"
#include "origins/http/lock_classes.h"
#include "origins/http/look.h"
#include "origins/http/read_side.h"
#include "sync/mutex.h"

namespace netfs::origins::http {

// A directory as the server lists it.
struct Listing {
  ListingPage page;
  bool by_webdav = false;
  bool by_json = false;
  int64_t listed_at_seconds = 0;  // by the server's clock
  int64_t skew_seconds = 0;       // how far ours is before it
};

class WebDav {
 public:
  WebDav(ReadSide& side, Looker& looker) : side_(side), looker_(looker) {}

  // Asks whether the directory `url` can be listed so; `url` may lack its '/'.
  Ref<Call> begin(std::string url, Deadline deadline);
  void finish(Call& call);

  [[nodiscard]] bool speaks() const {
    return answered_.load() && side_.engine.now() >= rests_until_.load();
  }

  // Takes half of the time there is, for the page is to have the rest.  EOPNOTSUPP: the server does
  // not know the question.  EACCES, ENOENT, EAGAIN, ETIMEDOUT, EIO: by its status.  EIO: nonsense,
  // of which the log has a line once.  EFBIG: it is more than is taken, or was the last time.
  // ELOOP, and what a connection failed with.
  Result<Listing> list(const std::string& url, Deadline deadline) EXCLUDES(mutex_);
  // The page may list what failed so: there is a connection.
  static bool leaves_the_page(const Error& error);
  // What the page of `url` came to, behind list()'s `error`.
  void page_came(const std::string& url, const Error& error, bool listed) EXCLUDES(mutex_);

 private:
  Result<Listing> ask(const std::string& url, Deadline deadline) EXCLUDES(mutex_);

  ReadSide& side_;
  Looker& looker_;
  std::atomic<bool> answered_{false};  // that of the root
  std::atomic<MonoTime> rests_until_{MonoTime::min()};
  std::atomic<unsigned> unknown_{0};  // since the last listing
  std::atomic<bool> nonsense_told_{false};

  sync::Mutex mutex_{kWebDavLock};
  std::set<std::string> too_large_ GUARDED_BY(mutex_);  // URLs that are not asked again
};

// Whether a listing that was asked for at `from` came from there, whoever served it.  The page that
// a server leads strangers on to (a login, say) lists something else.
bool is_same_path(const std::string& from, const std::string& to);

}  // namespace netfs::origins::http
