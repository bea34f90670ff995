#include "vfs/inode_number.h"

#include <bit>
#include <cstring>

#include "base/assert.h"

namespace netfs::vfs {

namespace {

struct SipState {
  uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void absorb(uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

}  // namespace

uint64_t sip_hash(std::array<uint64_t, 2> key, std::string_view data) {
  SipState s{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
             key[1] ^ 0x7465646279746573};
  size_t at = 0;
  for (; at + 8 <= data.size(); at += 8) {
    uint64_t word;
    std::memcpy(&word, data.data() + at, 8);
    s.absorb(word);
  }
  uint64_t last = uint64_t{data.size() & 0xff} << 56;
  for (size_t i = 0; at + i < data.size(); ++i) {
    last |= uint64_t{static_cast<unsigned char>(data[at + i])} << (8 * i);
  }
  s.absorb(last);
  s.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) s.round();
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

InodeNumbers::InodeNumbers(std::string_view volume_key, unsigned bits)
    // Any fixed keys serve: what matters is that they are the same at the next start.
    : key_{sip_hash({1, 2}, volume_key), sip_hash({3, 4}, volume_key)},
      mask_(UINT64_MAX >> (64 - bits)) {}

uint64_t InodeNumbers::acquire(std::string_view identity) {
  uint64_t number = sip_hash(key_, identity) & mask_;
  const uint64_t check = sip_hash({key_[1], key_[0]}, identity);
  for (bool first = true;; first = false, ++number) {
    if (number == 0) continue;
    const auto [found, inserted] = held_.try_emplace(number, Held{check, 1});
    if (inserted) return number;
    if (found->second.check == check) {
      ++found->second.count;
      return number;
    }
    if (first) ++collisions_;
  }
}

void InodeNumbers::hold(uint64_t number, std::string_view identity) {
  const Held held{sip_hash({key_[1], key_[0]}, identity), 0};
  ++held_.try_emplace(number, held).first->second.count;
}

void InodeNumbers::release(uint64_t number) {
  const auto found = held_.find(number);
  NETFS_ASSERT(found != held_.end());
  if (--found->second.count == 0) held_.erase(found);
}

}  // namespace netfs::vfs
