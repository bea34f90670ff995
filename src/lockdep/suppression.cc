#include "lockdep/suppression.h"

#include <algorithm>
#include <vector>

#include "lockdep/report_words.h"
#include "lockdep/text_format.h"

namespace netfs::lockdep {
namespace {

std::string quoted(ReportedClass lock_class) {
  lock_class.version = 1;
  std::string escaped;
  for (const char c : lock_class.name) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += c;
  }
  lock_class.name = escaped;
  return "\"" + class_name(lock_class) + "\"";
}

}  // namespace

std::vector<std::string> suppression_names(const Report& report) {
  std::vector<std::string> names;
  for (const uint32_t index : class_path(report)) names.push_back(quoted(report.classes.at(index)));
  if (report.kind == ReportKind::kCircular && names.size() > 1) {
    // A circle has no beginning: of all rotations the least.
    names.pop_back();
    std::vector<std::string> least = names;
    for (size_t i = 1; i < names.size(); ++i) {
      std::rotate(names.begin(), names.begin() + 1, names.end());
      least = std::min(least, names);
    }
    names = least;
  }
  return names;
}

std::string suppression_line(const Report& report) {
  std::string line(kind_word(report.kind));
  const std::vector<std::string> names = suppression_names(report);
  for (size_t i = 0; i < names.size(); ++i) line += (i == 0 ? " " : " -> ") + names[i];
  return line;
}

}  // namespace netfs::lockdep
