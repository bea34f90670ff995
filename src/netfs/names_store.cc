#include "netfs/names_store.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <span>
#include <unistd.h>

#include "base/unique_fd.h"

namespace netfs {

namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;

std::string identity_of(const std::string& path) {
  return std::string(kNamesIdentity) + path;
}

// Of all bytes.  No CRC: over bytes that end in their own it is the same for all of them.
uint64_t hash_of(std::string_view bytes) {
  constexpr uint64_t kBasis = 0xcbf29ce484222325;  // FNV-1a, of 64 bits
  constexpr uint64_t kPrime = 0x100000001b3;
  uint64_t hash = kBasis;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * kPrime;
  return hash;
}

// Another listing is another version.
CookieKey key_of(const std::string& path, std::string_view bytes) {
  uint64_t hash = hash_of(bytes);
  std::string version("names ");
  for (int i = 0; i < 16; ++i, hash >>= 4) version.push_back("0123456789abcdef"[hash & 15]);
  return {.identity = identity_of(path),
          .path = path + "/",
          .validator = {.strength = ValidatorStrength::kStrong, .bytes = version},
          .size_bytes = bytes.size()};
}

}  // namespace

Ref<Cookie> NamesStore::save(const std::string& path, std::string_view bytes) {
  if (!has_room()) return nullptr;
  // Before it takes the place of another.
  Ref<Buffer> first = parts_.pool.try_allocate(std::min(bytes.size(), kPieceBytes));
  if (!first) return nullptr;
  const Result<Ref<Cookie>> found = parts_.volume->lookup(key_of(path, bytes));
  if (!found.ok()) return nullptr;
  const Ref<Cookie>& cookie = found.value();
  const uint64_t block_bytes = cookie->block_bytes();
  const size_t piece_bytes = std::max<size_t>(kPieceBytes / block_bytes, 1) * block_bytes;
  for (size_t at = 0; at < bytes.size(); at += piece_bytes) {
    const std::string_view piece = bytes.substr(at, piece_bytes);
    Ref<Buffer> buffer = at == 0 && piece.size() <= kPieceBytes
                             ? std::move(first)
                             : parts_.pool.try_allocate(piece.size());
    bool queued = false;
    if (buffer) {
      std::memcpy(buffer->writable().data(), piece.data(), piece.size());
      queued = parts_.offload.store({.cookie = cookie,
                                     .first = BlockIndex(at / block_bytes),
                                     .data = {.buffer = buffer, .length_bytes = piece.size()},
                                     .ticket = nullptr});
    }
    if (queued) continue;
    // A record that is not whole is none.
    if (at > 0) discard(cookie);
    return nullptr;
  }
  return cookie;
}

void NamesStore::forget(const std::string& path) {
  // Closing: what waits to be stored is dropped as well.
  (void)parts_.offload.forget({.volume = parts_.volume, .path = identity_of(path)}, [] {});
}

Result<std::string> NamesStore::load(const std::string& path, size_t bytes_max) {
  const std::optional<CookieKey> key = TRY(parts_.volume->newest(identity_of(path)));
  if (!key) return Error(ENOENT, "netfs.names");
  if (key->size_bytes > bytes_max) return Error(EFBIG, "netfs.names");
  return read(*key);
}

// Which is the newest says the store each time, so that none is used that was dropped or replaced.
Ref<HeldNames> NamesStore::find(const std::string& path) {
  const Result<std::optional<CookieKey>> newest = parts_.volume->newest(identity_of(path));
  if (!newest.ok() || !newest.value() || newest.value()->size_bytes > kNamesBytesMax)
    return nullptr;
  const CookieKey& key = *newest.value();
  bool is_here = true;
  Ref<HeldNames> held = held_.get(path, key.validator.bytes, [&]() -> Ref<HeldNames> {
    is_here = false;
    Result<std::string> bytes = read(key);
    return bytes.ok() ? HeldNames::open(std::move(bytes).value(), path) : nullptr;
  });
  if (!is_here) return held;
  // Used, and not to be culled before what is not.
  if (const Result<Ref<Cookie>> cookie = parts_.volume->lookup(key); cookie.ok()) {
    cookie.value()->touch();
  }
  return held;
}

Result<std::string> NamesStore::read(const CookieKey& key) {
  const Ref<Cookie> cookie = TRY(parts_.volume->lookup(key));
  std::string bytes(key.size_bytes, '\0');
  const auto to = std::as_writable_bytes(std::span(bytes.data(), bytes.size()));
  TRY(cookie->read(0, to, Waiting::kDiskOnce));
  cookie->touch();
  return bytes;
}

std::string this_boot() {
  const UniqueFd file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  char text[36] = {};
  if (!file || ::read(file.get(), text, sizeof text) != sizeof text) return {};
  return {text, sizeof text};
}

}  // namespace netfs
