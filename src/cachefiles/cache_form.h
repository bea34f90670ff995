#pragma once
// CacheForm: which form of a cache directory a netfs writes, and which it can go on with.  Pure.
//
// `layout` is the form of what everybody has to understand: a directory of another is refused.
// What came later has a word.  One that must not be ignored is `incompatible`: who does not know it
// refuses the directory.  One that may be is `compatible`: who does not know it leaves alone what
// belongs to it, and takes the word away; who knows it and does not find it begins that anew, for
// what is there is old.  So two netfs that differ in compatible words only go on with what the
// other one leaves, both ways.
//
// The text of the file `format`: a line for the layout, then one a word, as text() writes them.
//
//   const std::optional<CacheForm> found = CacheForm::decode(text);
//   if (!found || found->layout != ours.layout || ours.unknown_in(*found) != nullptr) ...refuse
//   if (*found != ours) ...write the text of ours

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace netfs::cachefiles {

struct CacheForm {
  uint64_t layout = 0;
  std::vector<std::string> incompatible{};  // in the order in which they came
  std::vector<std::string> compatible{};

  friend bool operator==(const CacheForm&, const CacheForm&) = default;

  [[nodiscard]] std::string text() const;
  // Nothing: it is no such text.
  static std::optional<CacheForm> decode(std::string_view text);

  // The first word of `found` that this one must not ignore and does not know; null: none.
  [[nodiscard]] const std::string* unknown_in(const CacheForm& found) const;
};

// A text is no longer.
inline constexpr size_t kFormTextBytesMax = 4096;

// Of this netfs.
const CacheForm& our_cache_form();

}  // namespace netfs::cachefiles
