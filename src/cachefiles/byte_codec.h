#pragma once
// ByteWriter and ByteReader: integers and strings into bytes and back, for records.
//
// Values are little-endian, keys big-endian.  A reader past its end fails for good and gives
// zeroes: check ok() once, at the end.  A reader borrows its bytes.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace netfs::cachefiles {

class ByteWriter {
 public:
  template <class Int>
  void little(Int value) {
    for (size_t i = 0; i < sizeof(Int); ++i) {
      bytes_.push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i)));
    }
  }
  template <class Int>
  void big(Int value) {
    for (size_t i = sizeof(Int); i-- > 0;) {
      bytes_.push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i)));
    }
  }
  void raw(std::string_view bytes) { bytes_.append(bytes); }
  // A length of 16 bits, then the bytes.
  void text(std::string_view bytes) {
    little(static_cast<uint16_t>(bytes.size()));
    raw(bytes);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  template <class Int>
  Int little() {
    const std::string_view bytes = raw(sizeof(Int));
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
      value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    }
    return static_cast<Int>(value);
  }
  template <class Int>
  Int big() {
    uint64_t value = 0;
    for (const char byte : raw(sizeof(Int))) value = value << 8 | static_cast<unsigned char>(byte);
    return static_cast<Int>(value);
  }
  std::string_view raw(size_t count) {
    if (count > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view bytes = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return bytes;
  }
  std::string_view text(size_t length_max) {
    const auto length = little<uint16_t>();
    if (length > length_max) {
      ok_ = false;
      return {};
    }
    return raw(length);
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return ok_ && rest_.empty(); }
  [[nodiscard]] size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace netfs::cachefiles
