#include "vfs/reading_order.h"

#include <algorithm>
#include <numeric>

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
  at_ = places;
  fits_ = {true, true};
  files_ = files;
  here_ = 1;
  steps_ = 0;
  window_ = 0;
  from_start_ = places[0] == 0 || places[1] == 0;
  went_over_ = false;
}

void FileRun::move(const FileOrder::Places& places, size_t files) {
  at_ = places;
  files_ = files;
}

void FileRun::grow(bool in_row) {
  ++here_;
  ++steps_;
  breaks_ = 0;
  if (!sure()) return;
  if (window_ == 0 || !in_row) {
    window_ = std::max(window_ / 2, kWindowFirst);
  } else {
    window_ = std::min(window_ * 2, kWindowMax);
  }
}

FileRun::Step FileRun::go(const FileOrder::Places& places, MonoTime now) {
  if (places == at_) return Step::kNone;
  const size_t gap = sure() ? kGap : 0;
  std::array<bool, 2> on{};
  std::array<bool, 2> near{};
  bool in_row = false;
  for (size_t by = 0; by < 2; ++by) {
    if (!fits_[by]) continue;
    on[by] = places[by] > at_[by] && places[by] - at_[by] <= gap + 1;
    near[by] = sure() && places[by] <= at_[by] && at_[by] - places[by] <= kBehind;
    in_row = in_row || (on[by] && places[by] - at_[by] == 1);
  }
  if (on[0] || on[1]) {
    for (size_t by = 0; by < 2; ++by) {
      fits_[by] = on[by] || near[by];
      at_[by] = std::max(at_[by], places[by]);
    }
    grow(in_row);
    return Step::kOn;
  }
  if (near[0] || near[1]) return Step::kNone;
  const unsigned breaks = breaks_ + 1;
  begin(places, files_);
  breaks_ = breaks;
  if (breaks_ >= 2) {
    breaks_ = 0;
    off_until_ = now + kOff;
  }
  return Step::kBreak;
}

bool FileRun::at_end() const {
  if (!sure()) return here_ >= files_;  // every one of them, for there may be few
  for (size_t by = 0; by < 2; ++by) {
    if (fits_[by] && at_[by] + 1 + kGap >= files_) return true;
  }
  return false;
}

bool FileRun::goes_over_to(const FileOrder::Places& places) const {
  const size_t gap = sure() ? kGap : 0;
  return (fits_[0] && places[0] <= gap) || (fits_[1] && places[1] <= gap);
}

FileRun::Step FileRun::go_over(const FileOrder::Places& places, size_t files) {
  const size_t gap = sure() ? kGap : 0;
  for (size_t by = 0; by < 2; ++by) fits_[by] = fits_[by] && places[by] <= gap;
  at_ = places;
  files_ = files;
  here_ = 0;
  from_start_ = true;
  went_over_ = true;
  grow(true);
  return Step::kOn;
}

size_t FileRun::window_beyond() const {
  if (!from_start_) return 0;
  return went_over_ ? window_ : std::min(window_, kBeyondFirst);
}

}  // namespace netfs::vfs
