#pragma once
// WebDav: directories listed by PROPFIND (RFC 4918), where the server speaks that.
//
// Whether it does is asked once, beside the first look at the root: whoever refuses is listed by
// its pages.  What a directory's PROPFIND is refused with says nothing of the rest of the tree;
// after several refusals in a row no more of them are asked.
//
// Thread-safe; begin() and finish() by one thread, before anybody else is here.

#include <atomic>
#include <string>

#include "origins/http/listing.h"
#include "origins/http/look.h"
#include "origins/http/read_side.h"

namespace netfs::origins::http {

// A directory as the server lists it.
struct Listing {
  ListingPage page;
  bool by_webdav = false;
  int64_t listed_at_seconds = 0;  // by the server's clock
  int64_t skew_seconds = 0;       // how far ours is before it
};

class WebDav {
 public:
  WebDav(ReadSide& side, Looker& looker) : side_(side), looker_(looker) {}

  // Asks whether the directory `url` can be listed so; `url` may lack its '/'.
  Ref<Call> begin(std::string url, Deadline deadline);
  void finish(Call& call);

  [[nodiscard]] bool speaks() const { return speaks_.load(); }

  // EOPNOTSUPP, EIO, EFBIG: not that way, and so says is_refusal(); the log has a line once where
  // the answer was nonsense.
  Result<Listing> list(const std::string& url, Deadline deadline);
  static bool is_refusal(const Error& error);

 private:
  Result<Listing> ask(const std::string& url, Deadline deadline);

  ReadSide& side_;
  Looker& looker_;
  std::atomic<bool> speaks_{false};
  std::atomic<unsigned> refusals_{0};  // since the last listing
  std::atomic<bool> nonsense_told_{false};
};

// Whether a listing that was asked for at `from` came from there, whoever served it.  The page that
// a server leads strangers on to (a login, say) lists something else.
bool is_same_path(const std::string& from, const std::string& to);

}  // namespace netfs::origins::http
