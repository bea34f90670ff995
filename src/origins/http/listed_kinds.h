#pragma once
// ListedKinds: of which kinds of files a server lists by WebDAV what a look at the file says.
//
// Most servers give the same tag, size and time both ways.  Those that do not are one server in
// front of another one, or one that makes some files anew for whoever gets them and lists what they
// are made of.  So one file of each kind is compared: a kind is what the listing has (a strong tag,
// a weak one, none) and how the name ends (".php").  Where one differed, more have to be the same;
// where three did, no file of the kind is believed for as long as the mount lasts.
//
// Thread-safe.

#include <cstdint>
#include <map>
#include <string>

#include "origins/http/edition.h"
#include "origins/http/listing.h"
#include "origins/http/lock_classes.h"
#include "sync/mutex.h"

namespace netfs::origins::http {

class ListedKinds {
 public:
  enum class Verdict : uint8_t {
    kUnknown,  // one of it has to be compared
    kSame,
    kOther,
  };

  static std::string kind_of(const ListedName& file);

  [[nodiscard]] Verdict of(const std::string& kind) const EXCLUDES(mutex_);
  // A file of that kind was looked at.
  void compared(const std::string& kind, const ListedName& file, const Edition& seen)
      EXCLUDES(mutex_);
  // A look at one found no file, which is as good as another one.
  void not_compared(const std::string& kind) EXCLUDES(mutex_);

 private:
  void learn(const std::string& kind, bool same) EXCLUDES(mutex_);

  struct Kind {
    Verdict verdict = Verdict::kUnknown;
    unsigned differed = 0;
    unsigned same_in_row = 0;
  };

  mutable sync::Mutex mutex_{kListedKindsLock};
  std::map<std::string, Kind> kinds_ GUARDED_BY(mutex_);
};

}  // namespace netfs::origins::http
