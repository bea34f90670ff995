#pragma once
// InodeNumbers: what st_ino shows for a file: the same after a restart, with nothing written down.
//
// A number is SipHash-2-4 of the volume's key and the file's identity (its path where the origin
// has no identity), so a look-up needs no record on disk to know it, and none is written on the
// path of a reader.  Two identities with one hash (a chance of 3e-6 among ten million files) are
// told apart as long as both are known: the later one gets the next free number; collisions()
// counts them.  0 is never given.
//
// Thread-safety: the caller's lock.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace netfs::vfs {

class InodeNumbers {
 public:
  // `bits`: of the hash that are used; fewer than 64 only to see collisions.
  explicit InodeNumbers(std::string_view volume_key, unsigned bits = 64);

  // The number of `identity`, held once more.
  uint64_t acquire(std::string_view identity);
  void release(uint64_t number);
  // A number that a process before this one gave to `identity`, held once more.
  void hold(uint64_t number, std::string_view identity);

  [[nodiscard]] uint64_t collisions() const { return collisions_; }

 private:
  struct Held {
    uint64_t check;  // a second hash of the identity: tells a collision from the same file
    uint32_t count;
  };

  const std::array<uint64_t, 2> key_;
  const uint64_t mask_;
  std::unordered_map<uint64_t, Held> held_;
  uint64_t collisions_ = 0;
};

// What a number is made of.  Without an identity of the origin's the path is it; the prefix keeps
// the two kinds apart.
inline std::string number_key(const std::string& identity, const std::string& path) {
  return identity.empty() ? "p" + path : "i" + identity;
}

// SipHash-2-4 (Aumasson and Bernstein), 64 bits.
uint64_t sip_hash(std::array<uint64_t, 2> key, std::string_view data);

}  // namespace netfs::vfs
