#pragma once
// LooksShared: how many names each of the listings that are under way may have looked at at a time.
//
// Thread-safe.
//
//   const LooksShared::Listing listing(looks);
//   while (under_way < listing.looks_max(http2)) begin_another();

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace netfs::origins::http {

class LooksShared {
 public:
  explicit LooksShared(unsigned connections) : connections_(connections) {}

  class Listing {
   public:
    explicit Listing(LooksShared& shared) : shared_(shared), number_(++shared.numbers_) {
      ++shared_.under_way_;
    }
    ~Listing() {
      --shared_.under_way_;
      uint64_t ours = number_;
      shared_.first_.compare_exchange_strong(ours, 0);
    }
    Listing(const Listing&) = delete;
    Listing& operator=(const Listing&) = delete;

    // At least one.
    [[nodiscard]] size_t looks_max(bool http2) const { return shared_.max_of(number_, http2); }

   private:
    LooksShared& shared_;
    const uint64_t number_;
  };

 private:
  size_t max_of(uint64_t listing, bool http2);

  const unsigned connections_;
  std::atomic<uint64_t> numbers_{0};
  std::atomic<unsigned> under_way_{0};
  std::atomic<uint64_t> first_{0};  // the listing that has most of them; 0: whoever asks next
};

}  // namespace netfs::origins::http
