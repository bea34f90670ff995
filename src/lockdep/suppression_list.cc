#include "lockdep/suppression_list.h"

#include <algorithm>
#include <optional>

#include "lockdep/report_words.h"
#include "lockdep/suppression.h"
#include "lockdep/text_format.h"

namespace netfs::lockdep {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
    text.remove_suffix(1);
  }
  return text;
}

// The quoted names of `"a" -> "b"`, quotes included.
std::optional<std::vector<std::string>> names_in(std::string_view text) {
  std::vector<std::string> names;
  while (true) {
    text = trimmed(text);
    if (text.empty() || text.front() != '"') return std::nullopt;
    size_t end = 1;
    while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
    if (end >= text.size()) return std::nullopt;
    names.emplace_back(text.substr(0, end + 1));
    text = trimmed(text.substr(end + 1));
    if (text.empty()) return names;
    if (text.substr(0, 2) != "->") return std::nullopt;
    text.remove_prefix(2);
  }
}

std::optional<ReportKind> kind_of(std::string_view word) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(ReportKind::kAssertion); ++i) {
    if (kind_word(static_cast<ReportKind>(i)) == word) return static_cast<ReportKind>(i);
  }
  return std::nullopt;
}

bool all_match(const std::vector<std::string>& patterns, const std::vector<std::string>& names) {
  return std::equal(
      patterns.begin(), patterns.end(), names.begin(), names.end(),
      [](const auto& pattern, const auto& name) { return glob_matches(pattern, name); });
}

bool classes_match(ReportKind kind, const std::vector<std::string>& patterns,
                   const Report& report) {
  if (report.kind != kind) return false;
  std::vector<std::string> names = suppression_names(report);
  if (kind != ReportKind::kCircular) return all_match(patterns, names);
  for (size_t i = 0; i < names.size(); ++i) {
    if (all_match(patterns, names)) return true;
    std::rotate(names.begin(), names.begin() + 1, names.end());
  }
  return false;
}

// f(stack) of each lock that the report is about, until it returns true.
template <typename F>
bool any_lock_stack(const Report& report, const F& f) {
  if (f(report.taking.stack) || f(report.stack)) return true;
  if (report.holding && f(report.holding->stack)) return true;
  for (const ReportedEdge& edge : report.chain) {
    if (f(edge.from.stack) || f(edge.to.stack)) return true;
  }
  return f(report.old_state_stack) || f(report.unsafe_state_stack);
}

bool function_matches(const std::string& pattern, const Report& report, Symbolizer& symbolizer) {
  return any_lock_stack(report, [&](const Stack& stack) {
    for (const uintptr_t address : stack) {
      for (const Frame& frame : symbolizer.resolve(address)) {
        if (!frame.function.empty() && glob_matches(pattern, frame.function)) return true;
      }
    }
    return false;
  });
}

bool object_matches(const std::string& pattern, const Report& report, Symbolizer& symbolizer) {
  const bool whole_path = pattern.find('/') != std::string::npos;
  return any_lock_stack(report, [&](const Stack& stack) {
    if (stack.empty()) return false;
    std::string_view module;
    const std::vector<Frame> frames = symbolizer.resolve(stack.front());
    if (!frames.empty()) module = frames.back().module;
    if (!whole_path) module = module.substr(module.rfind('/') + 1);
    return !module.empty() && glob_matches(pattern, module);
  });
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text) {
  // Where the last star was, and where its text ends: that alone is ever tried again.
  size_t star = std::string_view::npos;
  size_t resume = 0;
  size_t p = 0;
  for (size_t t = 0; t < text.size();) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<SuppressionList::Entry> SuppressionList::parse_line(std::string_view line,
                                                           const std::string& place) {
  const auto refuse = [&place](const std::string& why) {
    return Error(EINVAL, "suppressions", place + ": " + why);
  };
  Entry entry;
  entry.place = place;
  entry.text = printable(line);
  const size_t space = std::min(line.find_first_of(" \t"), line.size());
  const std::string_view word = line.substr(0, space);
  const std::string_view rest = trimmed(line.substr(space));
  if (word == "function" || word == "object") {
    if (rest.empty()) return refuse("`" + std::string(word) + "` wants a name");
    entry.what = word == "function" ? What::kFunction : What::kObject;
    entry.patterns.emplace_back(rest);
    return entry;
  }
  const std::optional<ReportKind> kind = kind_of(word);
  if (!kind) {
    return refuse("`" + printable(word) +
                  "` is no kind of report, and neither `function` nor `object`");
  }
  entry.kind = *kind;
  std::optional<std::vector<std::string>> names = names_in(rest);
  if (!names) return refuse(R"(wants quoted class names: KIND "a" -> "b")");
  entry.patterns = std::move(*names);
  return entry;
}

Result<SuppressionList> SuppressionList::parse(std::string_view text,
                                               const std::string& file_name) {
  if (text.find('\0') != std::string_view::npos) {
    return Error(EINVAL, "suppressions", file_name + ": is no text");
  }
  SuppressionList list;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    list.entries_.push_back(TRY(parse_line(line, file_name + ":" + std::to_string(number))));
  }
  return list;
}

bool SuppressionList::matches(const Report& report, Symbolizer& symbolizer) {
  bool matched = false;
  for (Entry& entry : entries_) {
    bool hit = false;
    switch (entry.what) {
      case What::kClasses:
        hit = classes_match(entry.kind, entry.patterns, report);
        break;
      case What::kFunction:
        hit = function_matches(entry.patterns[0], report, symbolizer);
        break;
      case What::kObject:
        hit = object_matches(entry.patterns[0], report, symbolizer);
        break;
    }
    if (!hit) continue;
    ++entry.matched;
    matched = true;
  }
  return matched;
}

std::vector<std::string> SuppressionList::unused() const {
  std::vector<std::string> unused;
  for (const Entry& entry : entries_) {
    if (entry.matched == 0) unused.push_back(entry.place + ": " + entry.text);
  }
  return unused;
}

}  // namespace netfs::lockdep
