#pragma once
// RecentLooks: what the origin had under names when it was asked a moment ago, so that whoever
// makes a name does not ask again for what the look before it has just shown.
//
// Only what we do not change ourselves is remembered: a change made here, before or during a look,
// makes its answer void.  What somebody else does within that moment is found by the upload, as all
// is that he does before it.
//
// Not thread-safe: the journal's lock covers it.
//
//   recent.begin(path);  // its answer is waited for
//   recent.end(path, RecentLooks::Saw::kNothing, began);
//   if (recent.saw(path, now) == RecentLooks::Saw::kNothing) ...

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "journal/limits.h"

namespace netfs::journal {

class RecentLooks {
 public:
  enum class Saw : uint8_t { kUnknown, kNothing, kDirectory };

  explicit RecentLooks(size_t kept_max = kLooksKept) : kept_max_(kept_max) {}

  void begin(const std::string& path);
  // Once for each begin().  `saw` kUnknown: what was seen is of no use.
  void end(const std::string& path, Saw saw, MonoTime began);
  // What a path leads to is changed here; or, of all paths, by a rename.
  void changed(const std::string& path);
  void all_changed();

  // kUnknown: nobody has looked, or it was too long ago.
  [[nodiscard]] Saw saw(const std::string& path, MonoTime now) const;
  [[nodiscard]] size_t size() const { return names_.size(); }

 private:
  struct Name {
    unsigned looking = 0;
    bool is_void = false;  // it was changed since those who look began
    Saw saw = Saw::kUnknown;
    MonoTime since;  // when the look began that saw it
  };
  void make_room(MonoTime now);

  const size_t kept_max_;
  std::unordered_map<std::string, Name> names_;
};

}  // namespace netfs::journal
