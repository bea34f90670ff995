#pragma once
// Reading orders: which files somebody who reads a directory will open next.
//
// Files are read in the order of the listing (tar, grep -r) or by name (a shell's *); which of them
// shows by the first steps.  Three files opened in turn are a run.  Several threads may share it,
// so neighbours come in any order; it goes on over a few files that are left out, ends with the
// first file elsewhere unless the next one goes on where it was (somebody else's, then), and goes
// over to the next directory where it comes to the end of one.  Pure; all of it under the inode
// table's lock.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ref.h"
#include "fuse/wire.h"

namespace netfs::vfs {

struct Listing;

enum class OrderBy : uint8_t { kListing, kName };

// The regular files of one listing in both orders.  Immutable.
class FileOrder : public RefCounted<FileOrder> {
 public:
  explicit FileOrder(const Listing& listing);

  [[nodiscard]] size_t count() const { return listed_.size(); }
  // Which of the listing's entries stands there.
  [[nodiscard]] uint32_t entry(OrderBy by, size_t place) const {
    return by == OrderBy::kListing ? listed_[place] : listed_[named_[place]];
  }
  // By OrderBy.
  using Places = std::array<size_t, 2>;
  [[nodiscard]] std::optional<Places> find(const Listing& listing, std::string_view name) const;

 private:
  std::vector<uint32_t> listed_;  // entries
  std::vector<uint32_t> named_;   // places in listed_
};

// Somebody who reads the files of a directory, as far as is seen.
class FileRun {
 public:
  // What an open was to a run; after a break what is planned is planned anew.
  enum class Step : uint8_t { kNone, kOn, kBreak };

  // He begins, or begins again, there.
  void begin(const FileOrder::Places& places, size_t files);
  // He opens another file of the same directory.
  Step go(const FileOrder::Places& places, MonoTime now);
  // He opens a file of the next directory, and this one was at its end: see at_end().
  Step go_over(const FileOrder::Places& places, size_t files);
  // Whether a file in the next directory, the first there or near it, would be a step.
  [[nodiscard]] bool at_end() const;
  [[nodiscard]] bool goes_over_to(const FileOrder::Places& places) const;
  // The directory was listed anew, with the last file he opened there now.
  void move(const FileOrder::Places& places, size_t files);

  [[nodiscard]] bool sure() const { return now_.steps >= kStepsToProve; }
  [[nodiscard]] bool is_off(MonoTime now) const { return now < off_until_; }
  [[nodiscard]] OrderBy by() const { return now_.fits[0] ? OrderBy::kListing : OrderBy::kName; }
  [[nodiscard]] size_t next() const { return now_.at[static_cast<size_t>(by())] + 1; }
  // How many files may be under way: 2 and twice as many each step; 0 while nothing is sure.
  [[nodiscard]] size_t window() const { return now_.window; }
  // How many of those may lie in the next directories: few until he has gone on to one.
  [[nodiscard]] size_t window_beyond() const;

  static constexpr unsigned kStepsToProve = 2;
  // Files, or directories, that a run may leave out in one place.
  static constexpr size_t kGap = 4;
  // How far behind the furthest one others may be opened, by readers side by side; with more left
  // out altogether that nobody has come back for, what is fetched is in vain.
  static constexpr size_t kBehind = 16;
  static constexpr size_t kLeftOutMax = 8;
  static constexpr size_t kWindowFirst = 2;
  static constexpr size_t kWindowMax = 256;
  static constexpr size_t kBeyondFirst = 4;
  // A break that neither goes on where he was before the one before: the directory is read at
  // random, and left alone for so long.
  static constexpr Duration kOff = std::chrono::seconds(10);

 private:
  struct State {
    FileOrder::Places at{};  // the furthest file opened
    std::array<bool, 2> fits{true, true};
    size_t here = 1;     // opened in this directory in a row
    unsigned steps = 0;  // altogether
    size_t window = 0;
    size_t left_out = 0;      // files that he went by
    bool from_start = false;  // the directory is read from its beginning
    bool went_over = false;   // and was not the first
  };

  static std::optional<State> step(const State& from, const FileOrder::Places& places);
  static void grow(State& state, bool in_row);

  State now_;
  std::optional<State> before_;  // the last break, after which nothing is sure yet
  size_t files_ = 0;             // of the directory
  MonoTime off_until_ = MonoTime::min();
};

}  // namespace netfs::vfs
