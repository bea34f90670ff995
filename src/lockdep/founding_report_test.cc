// The report that the project started from: the kernel's of the circle mapping.invalidate_lock ->
// sb_writers -> mmap_lock, rendered from the same classes and stacks.  Its lines stand here as the
// kernel wrote them and in that order; between them may be what ours adds.

#include <algorithm>
#include <gtest/gtest.h>
#include <sstream>
#include <string>
#include <vector>

#include "lockdep/report_sample.h"

namespace netfs::lockdep {
namespace {

using Lines = std::vector<std::string>;

const Lines kTakeMmapLock = {"validate_chain+0x3c4/0x4a8",
                             "__lock_acquire+0x89d/0x949",
                             "lock_acquire+0x2dc/0x34b",
                             "__might_fault+0x87/0xb1",
                             "strncpy_from_user+0x25/0x18c",
                             "removexattr+0x7c/0xe5",
                             "__do_sys_fremovexattr+0x73/0x96",
                             "do_syscall_64+0x67/0x7a",
                             "entry_SYSCALL_64_after_hwframe+0x44/0xae"};

const Lines kTakeSbWriters = {"validate_chain+0x3c4/0x4a8",
                              "__lock_acquire+0x89d/0x949",
                              "lock_acquire+0x2dc/0x34b",
                              "cachefiles_write+0x2b3/0x4bb",
                              "netfs_rreq_do_write_to_cache+0x3b5/0x432",
                              "netfs_readpage+0x2de/0x39d",
                              "filemap_read_page+0x51/0x94",
                              "filemap_get_pages+0x26f/0x413",
                              "filemap_read+0x182/0x427",
                              "new_sync_read+0xf0/0x161",
                              "vfs_read+0x118/0x16e",
                              "ksys_read+0xb8/0x12e",
                              "do_syscall_64+0x67/0x7a",
                              "entry_SYSCALL_64_after_hwframe+0x44/0xae"};

const Lines kTakeInvalidateLock = {"check_noncircular+0xe4/0x129", "check_prev_add+0x16b/0x3a4",
                                   "validate_chain+0x3c4/0x4a8",   "__lock_acquire+0x89d/0x949",
                                   "lock_acquire+0x2dc/0x34b",     "down_read+0x40/0x4a",
                                   "filemap_fault+0x276/0x7a5",    "__do_fault+0x96/0xbf",
                                   "do_fault+0x262/0x35a",         "__handle_mm_fault+0x171/0x1b5",
                                   "handle_mm_fault+0x12a/0x233",  "do_user_addr_fault+0x3d2/0x59c",
                                   "exc_page_fault+0x85/0xa5",     "asm_exc_page_fault+0x1e/0x30"};

constexpr const char* kHead = R"(WARNING: possible circular locking dependency detected
------------------------------------------------------
holetest/65517 is trying to acquire lock:
ffff88810c81d730 (mapping.invalidate_lock#3){.+.+}-{3:3}, at: filemap_fault+0x276/0x7a5

but task is already holding lock:
ffff8881595b53e8 (&mm->mmap_lock#2){++++}-{3:3}, at: do_user_addr_fault+0x28d/0x59c

which lock already depends on the new lock.


the existing dependency chain (in reverse order) is:
)";

constexpr const char* kTail = R"(other info that might help us debug this:

Chain exists of:
  mapping.invalidate_lock#3 --> sb_writers#10 --> &mm->mmap_lock#2

 Possible unsafe locking scenario:

       CPU0                    CPU1
       ----                    ----
  lock(&mm->mmap_lock#2);
                               lock(sb_writers#10);
                               lock(&mm->mmap_lock#2);
  lock(mapping.invalidate_lock#3);

 *** DEADLOCK ***

1 lock held by holetest/65517:
 #0: ffff8881595b53e8 (&mm->mmap_lock#2){++++}-{3:3}, at: do_user_addr_fault+0x28d/0x59c

stack backtrace:
Call Trace:
)";

Lines lines_of(const std::string& text) {
  Lines lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The document's section of one lock in the chain.
void add_chain_entry(Lines& lines, const std::string& head, const Lines& stack) {
  lines.emplace_back("");
  lines.push_back(head);
  for (const std::string& frame : stack) lines.push_back("       " + frame);
}

// The document, less what says which kernel and machine it was, and frames marked `?` (guesses).
Lines document() {
  Lines lines = lines_of(kHead);
  add_chain_entry(lines, "-> #2 (&mm->mmap_lock#2){++++}-{3:3}:", kTakeMmapLock);
  add_chain_entry(lines, "-> #1 (sb_writers#10){.+.+}-{0:0}:", kTakeSbWriters);
  add_chain_entry(lines, "-> #0 (mapping.invalidate_lock#3){.+.+}-{3:3}:", kTakeInvalidateLock);
  lines.emplace_back("");
  for (const std::string& line : lines_of(kTail)) lines.push_back(line);
  for (const std::string& frame : kTakeInvalidateLock) lines.push_back(" " + frame);
  return lines;
}

constexpr uint32_t kInvalidateLock = 0;
constexpr uint32_t kSbWriters = 1;
constexpr uint32_t kMmapLock = 2;

// What the validator finds in the document's three contexts.  All locks are taken for reading and
// shown with lock(): the kernel of then did not tell rlock().
Report founding_report(FakeSymbolizer& symbolizer) {
  const ReportedLock mmap_lock{.class_index = kMmapLock,
                               .address = 0xffff8881595b53e8,
                               .stack = symbolizer.stack({"do_user_addr_fault+0x28d/0x59c"})};
  const ReportedLock invalidate_lock{.class_index = kInvalidateLock,
                                     .address = 0xffff88810c81d730,
                                     .stack = symbolizer.stack({"filemap_fault+0x276/0x7a5"})};
  Report report;
  report.verdict = Verdict::kLikely;
  report.reason = "a reader, a setter of attributes and a fault can meet";
  report.classes = {
      {"mapping.invalidate_lock", 3, 0, ".+.+", 3, 3},
      {"sb_writers", 10, 0, ".+.+", 0, 0},
      {"&mm->mmap_lock", 2, 0, "++++", 3, 3},
  };
  report.context = {.name = "holetest", .id = 65517};
  report.taking = invalidate_lock;
  report.holding = mmap_lock;
  report.held = {mmap_lock};
  report.stack = symbolizer.stack(kTakeInvalidateLock);

  ReportedEdge fault{.from = mmap_lock, .to = invalidate_lock, .context = report.context};
  fault.to.stack = report.stack;
  ReportedEdge read;
  read.from = {.class_index = kInvalidateLock,
               .stack = symbolizer.stack({"filemap_get_pages+0x1b/0x413"})};
  read.to = {.class_index = kSbWriters, .stack = symbolizer.stack(kTakeSbWriters)};
  read.context = {.name = "holetest", .id = 65516};
  ReportedEdge attribute;
  attribute.from = {.class_index = kSbWriters,
                    .stack = symbolizer.stack({"mnt_want_write+0x1f/0x60"})};
  attribute.to = {.class_index = kMmapLock, .stack = symbolizer.stack(kTakeMmapLock)};
  attribute.context = {.name = "attr", .id = 2001};
  report.chain = {fault, read, attribute};
  return report;
}

TEST(FoundingReport, EveryLineOfTheDocumentStandsInOurPageInItsOrder) {
  FakeSymbolizer symbolizer;
  const Lines page =
      lines_of(report_text(founding_report(symbolizer), symbolizer, sample_options()));
  auto at = page.begin();
  for (const std::string& line : document()) {
    const auto found = std::find(at, page.end(), line);
    ASSERT_NE(found, page.end()) << "not found in its place: \"" << line << '"';
    at = found + 1;
  }
}

// Goal: what ours adds is what it should be, and nothing else: the page without the document's
// lines.
TEST(FoundingReport, OursAddsTheSummaryTheOtherStacksAndTheVerdict) {
  FakeSymbolizer symbolizer;
  const Lines page =
      lines_of(report_text(founding_report(symbolizer), symbolizer, sample_options()));
  const Lines wanted = document();
  Lines added;
  auto next = wanted.begin();
  for (const std::string& line : page) {
    if (next != wanted.end() && line == *next) {
      ++next;
    } else {
      added.push_back(line);
    }
  }
  ASSERT_EQ(next, wanted.end());
  const Lines expected = {
      "lockdep: LIKELY: possible circular locking dependency detected: mapping.invalidate_lock#3 "
      "-> "
      "sb_writers#10 -> &mm->mmap_lock#2 -> mapping.invalidate_lock#3",
      "",
      "======================================================",
      "holetest 0.1.0 build-id 4f1c8e02a9b3c5d7",
      "       ... while holding (sb_writers#10){.+.+}-{0:0}, taken at:",
      "       mnt_want_write+0x1f/0x60",
      "       ... by attr/2001",
      "       ... while holding (mapping.invalidate_lock#3){.+.+}-{3:3}, taken at:",
      "       filemap_get_pages+0x1b/0x413",
      "       ... by holetest/65516",
      "       ... while holding (&mm->mmap_lock#2){++++}-{3:3}, taken at:",
      "       do_user_addr_fault+0x28d/0x59c",
      "       ... by holetest/65517",
      "PID: 65500 TID: 65517 Comm: holetest holetest 0.1.0 build-id 4f1c8e02a9b3c5d7",
      "",
      "verdict: LIKELY: a reader, a setter of attributes and a fault can meet",
      "to silence it: circular \"&mm->mmap_lock\" -> \"mapping.invalidate_lock\" -> \"sb_writers\"",
  };
  EXPECT_EQ(added, expected);
}

// Our own kernel counterparts are taken for reading; then the scenario says so.
TEST(FoundingReport, ReadersAreShownAsRlock) {
  FakeSymbolizer symbolizer;
  Report report = founding_report(symbolizer);
  report.chain[0].from.mode = Mode::kRead;
  report.chain[0].to.mode = Mode::kRecursiveRead;
  const std::string page = report_text(report, symbolizer, sample_options());
  EXPECT_NE(page.find("\n  rlock(&mm->mmap_lock#2);\n"), std::string::npos);
  EXPECT_NE(page.find("\n  rlock(mapping.invalidate_lock#3);\n"), std::string::npos);
}

}  // namespace
}  // namespace netfs::lockdep
