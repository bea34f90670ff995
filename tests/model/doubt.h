#pragma once
// Doubt: what a file may hold after the process that served it was killed, of all that it should
// have held since the last moment that everything was known to be kept.
//
//   doubt.begin(want);   // before each call that changes it
//   doubt.settle();      // a sync was answered
//   EXPECT_TRUE(doubt.allows(found, want, Doubt::Kept::kAllInOrder));

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace netfs::test {

class Doubt {
 public:
  enum class Kept : uint8_t {
    kAllButTheLast,  // whatever was answered; the call that was not may be there in part
    kAllInOrder,     // what was done until some moment, and nothing after it
    kSomeOfEach,     // any of it
  };

  void begin(const std::string& state) { states_.push_back(state); }
  void settle() { states_.clear(); }
  [[nodiscard]] size_t size() const { return states_.size(); }

  // `now`: what it should hold.
  [[nodiscard]] bool allows(const std::string& found, const std::string& now, Kept kept) const {
    if (found == now) return true;
    std::vector<const std::string*> all;
    for (const std::string& state : states_) all.push_back(&state);
    all.push_back(&now);
    if (kept == Kept::kSomeOfEach) return lies_among(found, all);
    size_t first = kept == Kept::kAllInOrder || all.size() < 2 ? 0 : all.size() - 2;
    for (; first + 1 < all.size(); ++first) {
      if (lies_among(found, {all[first], all[first + 1]})) return true;
    }
    return false;
  }

 private:
  // Each byte is what one of them has there; a file that was shorter has zeroes.
  static bool lies_among(const std::string& found, const std::vector<const std::string*>& states) {
    const auto [least, most] = std::minmax_element(
        states.begin(), states.end(),
        [](const std::string* a, const std::string* b) { return a->size() < b->size(); });
    if (found.size() < (*least)->size() || found.size() > (*most)->size()) return false;
    for (size_t at = 0; at < found.size(); ++at) {
      const auto has_it = [&](const std::string* state) {
        return found[at] == (at < state->size() ? (*state)[at] : '\0');
      };
      if (std::none_of(states.begin(), states.end(), has_it)) return false;
    }
    return true;
  }

  std::vector<std::string> states_;
};

}  // namespace netfs::test
