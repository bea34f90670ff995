#pragma once
// Text: a short text built in place, cut where it is full.  For what is written under the
// validator's lock, where nothing may allocate.

#include <cstddef>
#include <cstdint>

namespace netfs::lockdep {

template <size_t kBytes>
class Text {
 public:
  Text& operator<<(const char* text) {
    for (; *text != '\0' && size_ + 1 < kBytes; ++text) bytes_[size_++] = *text;
    bytes_[size_] = '\0';
    return *this;
  }
  Text& operator<<(uint64_t number) {
    char digits[21];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
      digits[--at] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    return *this << digits + at;
  }
  void clear() { *this = Text(); }
  [[nodiscard]] const char* c_str() const { return bytes_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  char bytes_[kBytes] = {};
  size_t size_ = 0;
};

using Reason = Text<200>;

}  // namespace netfs::lockdep
