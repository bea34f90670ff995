#pragma once
// SuppressionList: which reports are known and not to be shown, from a text that people write.
//
// One entry a line; `#` begins a comment line.  `*` stands for any bytes.
//
//   circular "cache.index" -> "cache.object"     a report's own line, as it prints it
//   (suppression.h) function g_type_register_static              a function in a stack of one of
//   the report's locks object libssl.so.3                           a lock of the report is taken
//   by code of this object
//
// A circle matches wherever the line begins it.  A function is compared with each frame's readable
// name, without parameters; an object with the file name, or the path if the entry has a slash, of
// the frame that takes the lock.  Not thread-safe: whoever shows reports shows one at a time.
//
//   SuppressionList list = TRY(SuppressionList::parse(text, "known.supp"));
//   if (list.matches(report, symbolizer)) return;
//   for (const std::string& entry : list.unused()) ...

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lockdep/report.h"
#include "lockdep/symbolizer.h"

namespace netfs::lockdep {

class SuppressionList {
 public:
  // EINVAL: a line that is none of the three; the message has `file_name`, its number and why.
  static Result<SuppressionList> parse(std::string_view text, const std::string& file_name);

  // Whether an entry silences the report; counts each that does.
  bool matches(const Report& report, Symbolizer& symbolizer);

  [[nodiscard]] size_t size() const { return entries_.size(); }
  // The entries that matched nothing yet: `known.supp:3: function old`.
  [[nodiscard]] std::vector<std::string> unused() const;

 private:
  enum class What : uint8_t { kClasses, kFunction, kObject };
  struct Entry {
    What what = What::kClasses;
    ReportKind kind = ReportKind::kCircular;
    std::vector<std::string> patterns;  // of quoted names, or one
    std::string place;                  // known.supp:3
    std::string text;
    uint64_t matched = 0;
  };
  static Result<Entry> parse_line(std::string_view line, const std::string& place);

  std::vector<Entry> entries_;
};

// Whether all of `text` is matched by `pattern`, in which `*` stands for any bytes, none included.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text);

}  // namespace netfs::lockdep
