#pragma once
// ListingNames: gathers the names of one listing, each once, and counts what cannot be a name.

#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "origins/http/listing.h"

namespace netfs::origins::http {

class ListingNames {
 public:
  // EFBIG when there are too many.
  Result<void> add(ListedName entry) {
    const std::string& name = entry.name;
    const bool allowed = !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
                         name.find('/') == std::string::npos &&
                         name.find('\0') == std::string::npos;
    if (!allowed || !seen_.insert(name).second) {
      ++page_.refused;
      return {};
    }
    if (page_.names.size() == kListingEntriesMax) {
      return Error(EFBIG, "http.list", "the listing has more names than are taken");
    }
    page_.names.push_back(std::move(entry));
    return {};
  }
  void refuse() { ++page_.refused; }
  [[nodiscard]] ListingPage take() && { return std::move(page_); }

 private:
  ListingPage page_;
  std::unordered_set<std::string> seen_;
};

}  // namespace netfs::origins::http
