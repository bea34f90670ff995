// The formats of this netfs.  Whoever changes one of them changes its number here, or what it is
// made of.

#include <bit>

#include "cachefiles/cache_form.h"
#include "daemon/formats.h"
#include "daemon/supervisor_message.h"
#include "daemon/supervisor_state.h"
#include "daemon/version.h"
#include "journal/journal_format.h"
#include "vfs/arena_form.h"

namespace netfs::daemon {

namespace {

// One for each count of additions: of its layout it can go on with any.
Format arena() {
  const auto number = [](uint64_t additions) {
    return additions << 32 | uint64_t{vfs::kArenaForm.layout};
  };
  Format format{.writes = number(vfs::kArenaForm.additions()), .reads = {}};
  for (uint64_t i = 0; i <= vfs::ArenaForm::kAdditionsMax; ++i) format.reads.push_back(number(i));
  return format;
}

// What may be ignored is not in the number.  What must not be came one after the other, and of
// those whoever knows some knows all before.
Format on_disk(uint64_t layout, size_t incompatible) {
  Format format;
  for (uint64_t i = 0; i <= incompatible; ++i) format.reads.push_back(i << 32 | layout);
  format.writes = format.reads.back();
  return format;
}

Format cache() {
  const cachefiles::CacheForm& form = cachefiles::our_cache_form();
  return on_disk(form.layout, form.incompatible.size());
}

Format journal() {
  constexpr uint16_t kBits = journal::kJournalForm.incompatible;
  static_assert((kBits & (kBits + 1)) == 0, "bits are given out from the lowest on");
  return on_disk(journal::kFormatVersion, std::popcount(kBits));
}

}  // namespace

Formats our_formats() {
  const auto only = [](uint64_t number) { return Format{.writes = number, .reads = {number}}; };
  return {.version = kVersion,
          .each = {{"arena", arena()},
                   {"cache", cache()},
                   {"journal", journal()},
                   {"link", only(kLinkVersion)},
                   {"supervisor", only(kSupervisorStateVersion)}}};
}

}  // namespace netfs::daemon
