#include "cachefiles/cache_form.h"

#include <algorithm>
#include <charconv>

namespace netfs::cachefiles {

namespace {

constexpr std::string_view kLayoutLine = "netfs cache, format ";
constexpr std::string_view kIncompatibleLine = "incompatible ";
constexpr std::string_view kCompatibleLine = "compatible ";

bool take_front(std::string_view& line, std::string_view front) {
  if (!line.starts_with(front)) return false;
  line.remove_prefix(front.size());
  return true;
}

bool is_form_word(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

}  // namespace

std::string CacheForm::text() const {
  std::string text = std::string(kLayoutLine) + std::to_string(layout) + "\n";
  for (const std::string& word : incompatible) text.append(kIncompatibleLine).append(word) += '\n';
  for (const std::string& word : compatible) text.append(kCompatibleLine).append(word) += '\n';
  return text;
}

std::optional<CacheForm> CacheForm::decode(std::string_view text) {
  CacheForm form;
  for (bool first = true; !text.empty(); first = false) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (first) {
      if (!take_front(line, kLayoutLine)) return std::nullopt;
      const auto [stop, error] =
          std::from_chars(line.data(), line.data() + line.size(), form.layout);
      if (error != std::errc() || stop != line.data() + line.size()) return std::nullopt;
      continue;
    }
    std::vector<std::string>* words = nullptr;
    if (take_front(line, kIncompatibleLine)) words = &form.incompatible;
    if (words == nullptr && take_front(line, kCompatibleLine)) words = &form.compatible;
    if (words == nullptr || !is_form_word(line)) return std::nullopt;
    words->emplace_back(line);
  }
  if (form.layout == 0) return std::nullopt;
  return form;
}

const std::string* CacheForm::unknown_in(const CacheForm& found) const {
  for (const std::string& word : found.incompatible) {
    if (std::find(incompatible.begin(), incompatible.end(), word) == incompatible.end()) {
      return &word;
    }
  }
  return nullptr;
}

// Whoever adds a word adds it to docs/cache-format.md.
const CacheForm& our_cache_form() {
  static const CacheForm form{.layout = 1};
  return form;
}

}  // namespace netfs::cachefiles
