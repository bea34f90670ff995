#include "vfs/reading_order.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>

#include "vfs/node.h"

namespace netfs::vfs {

FileOrder::FileOrder(const Listing& listing) {
  for (uint32_t i = 0; i < listing.entries.size(); ++i) {
    if (listing.entries[i].type == FileType::kRegular) listed_.push_back(i);
  }
  named_.resize(listed_.size());
  std::iota(named_.begin(), named_.end(), 0U);
  std::sort(named_.begin(), named_.end(), [&](uint32_t a, uint32_t b) {
    return listing.name(listing.entries[listed_[a]]) < listing.name(listing.entries[listed_[b]]);
  });
}

std::optional<FileOrder::Places> FileOrder::find(const Listing& listing,
                                                 std::string_view name) const {
  const auto name_at = [&](uint32_t place) {
    return listing.name(listing.entries[listed_[place]]);
  };
  const auto found = std::lower_bound(
      named_.begin(), named_.end(), name,
      [&](uint32_t place, std::string_view wanted) { return name_at(place) < wanted; });
  if (found == named_.end() || name_at(*found) != name) return std::nullopt;
  return Places{*found, static_cast<size_t>(found - named_.begin())};
}

void FileRun::begin(const FileOrder::Places& places, size_t files) {
  now_ = {.at = places, .from_start = places[0] == 0 || places[1] == 0};
  before_.reset();
  files_ = files;
}

void FileRun::move(const FileOrder::Places& places, size_t files) {
  now_.at = places;
  before_.reset();
  files_ = files;
}

void FileRun::grow(State& state, bool in_row) {
  ++state.here;
  ++state.steps;
  if (state.steps < kStepsToProve) return;
  if (state.window == 0) {
    state.window = kWindowFirst;
  } else if (state.left_out > kLeftOutMax) {
    state.left_out = 0;
    state.window = std::max(state.window / 2, kWindowFirst);
  } else if (in_row) {
    state.window = std::min(state.window * 2, kWindowMax);
  }
}

// What the open makes of the run; nothing if it does not belong to it.
std::optional<FileRun::State> FileRun::step(const State& from, const FileOrder::Places& places) {
  State state = from;
  const size_t behind = from.steps >= kStepsToProve ? kBehind : kGap;
  bool on = false;
  bool near = false;
  size_t gap = SIZE_MAX;
  for (size_t by = 0; by < 2; ++by) {
    if (!from.fits[by]) continue;
    const bool ahead = places[by] > from.at[by];
    const bool follows = ahead && places[by] - from.at[by] <= kGap + 1;
    state.fits[by] = follows || (!ahead && from.at[by] - places[by] <= behind);
    on = on || follows;
    near = near || state.fits[by];
    if (follows) gap = std::min(gap, places[by] - from.at[by] - 1);
  }
  if (!near) return std::nullopt;
  if (!on) {
    state.fits = from.fits;
    state.left_out -= std::min<size_t>(state.left_out, 1);
    return state;
  }
  for (size_t by = 0; by < 2; ++by) state.at[by] = std::max(from.at[by], places[by]);
  state.left_out += gap;
  grow(state, gap == 0);
  return state;
}

FileRun::Step FileRun::go(const FileOrder::Places& places, MonoTime now) {
  if (places == now_.at) return Step::kNone;
  if (const std::optional<State> next = step(now_, places)) {
    const bool on = next->steps > now_.steps;
    now_ = *next;
    if (sure()) before_.reset();
    return on ? Step::kOn : Step::kNone;
  }
  if (before_) {
    if (const std::optional<State> next = step(*before_, places)) {
      before_ = std::exchange(now_, *next);  // two side by side
      return Step::kBreak;
    }
  }
  const std::optional<State> before = before_ ? std::nullopt : std::optional(now_);
  begin(places, files_);
  before_ = before;
  if (!before_) off_until_ = now + kOff;
  return Step::kBreak;
}

bool FileRun::at_end() const {
  if (!sure()) return now_.here >= files_;  // every one of them, for there may be few
  for (size_t by = 0; by < 2; ++by) {
    if (now_.fits[by] && now_.at[by] + 1 + kGap >= files_) return true;
  }
  return false;
}

bool FileRun::goes_over_to(const FileOrder::Places& places) const {
  const size_t gap = sure() ? kGap : 0;
  return (now_.fits[0] && places[0] <= gap) || (now_.fits[1] && places[1] <= gap);
}

FileRun::Step FileRun::go_over(const FileOrder::Places& places, size_t files) {
  const size_t gap = sure() ? kGap : 0;
  for (size_t by = 0; by < 2; ++by) now_.fits[by] = now_.fits[by] && places[by] <= gap;
  now_.at = places;
  now_.here = 0;
  now_.from_start = true;
  now_.went_over = true;
  before_.reset();
  files_ = files;
  grow(now_, true);
  return Step::kOn;
}

size_t FileRun::window_beyond() const {
  if (!now_.from_start) return 0;
  return now_.went_over ? now_.window : std::min(now_.window, kBeyondFirst);
}

}  // namespace netfs::vfs
