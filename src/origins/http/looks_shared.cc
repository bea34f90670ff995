#include "origins/http/looks_shared.h"

#include <algorithm>

namespace netfs::origins::http {

namespace {

// HTTP/2 takes about a hundred on one connection.
constexpr size_t kHttp2Max = 128;

}  // namespace

// Of one listing.  Where each request has a connection to itself, all that are made have about
// three of four between them: libcurl's queue is one, and who waits for a file would stand at its
// end.  The one that began first has most of those: somebody waits for it, or will first.
size_t LooksShared::max_of(uint64_t listing, bool http2) {
  uint64_t none = 0;
  const bool first = first_.compare_exchange_strong(none, listing) || none == listing;
  const size_t all = http2 ? kHttp2Max : connections_ - connections_ / 4;
  const size_t of_others = std::max<size_t>(all / 8, 1);
  if (!first) return of_others;
  const size_t others = of_others * (under_way_.load() - 1);
  return std::max<size_t>(all > others ? all - others : 0, 1);
}

}  // namespace netfs::origins::http
