#include "origins/http/listed_kinds.h"

#include <algorithm>

#include "origins/http/text.h"

namespace netfs::origins::http {

namespace {

// Of more kinds nothing is learnt: their files are looked at one by one.
constexpr size_t kKindsMax = 256;
constexpr size_t kEndingBytesMax = 8;
// A file may change between the two.
constexpr unsigned kDifferedMax = 3;
// So many in a row make up for one that differed.
constexpr unsigned kSameAgainMin = 8;

bool is_letter(char c) {
  return lower(c) >= 'a' && lower(c) <= 'z';
}

// ".php" of "index.PHP"; of ".000017", which tells nothing, "".
std::string ending_of(const std::string& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos || dot + 1 == name.size()) return "";
  const std::string ending = lowered(std::string_view(name).substr(dot));
  const bool tells = ending.size() <= kEndingBytesMax && is_letter(ending[1]) &&
                     std::all_of(ending.begin() + 1, ending.end(),
                                 [](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
  return tells ? ending : "";
}

}  // namespace

std::string ListedKinds::kind_of(const ListedName& file) {
  const char* const tag = !file.tag ? "none" : file.tag->weak ? "weak" : "strong";
  return tag + ending_of(file.name);
}

ListedKinds::Verdict ListedKinds::of(const std::string& kind) const {
  sync::MutexLock lock(mutex_);
  const auto found = kinds_.find(kind);
  if (found != kinds_.end()) return found->second.verdict;
  return kinds_.size() < kKindsMax ? Verdict::kUnknown : Verdict::kOther;
}

void ListedKinds::compared(const std::string& kind, const ListedName& file, const Edition& seen) {
  const Edition listed = edition_of(file.tag, file.mtime_seconds, *file.size_bytes, 0);
  const bool same = compare(listed, seen) == Sameness::kSame &&
                    listed.mtime_seconds == seen.mtime_seconds &&
                    listed.validator == seen.validator;
  learn(kind, same);
}

void ListedKinds::not_compared(const std::string& kind) {
  learn(kind, false);
}

void ListedKinds::learn(const std::string& kind, bool same) {
  sync::MutexLock lock(mutex_);
  if (kinds_.size() >= kKindsMax && !kinds_.contains(kind)) return;
  Kind& known = kinds_[kind];
  if (known.verdict == Verdict::kOther) return;
  if (same) {
    ++known.same_in_row;
    if (known.differed == 0 || known.same_in_row >= kSameAgainMin) known.verdict = Verdict::kSame;
    return;
  }
  known.same_in_row = 0;
  known.verdict = ++known.differed >= kDifferedMax ? Verdict::kOther : Verdict::kUnknown;
}

}  // namespace netfs::origins::http
