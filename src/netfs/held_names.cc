#include "netfs/held_names.h"

#include <algorithm>
#include <functional>

namespace netfs {

namespace {

uint32_t short_hash_of(std::string_view name) {
  return static_cast<uint32_t>(std::hash<std::string_view>()(name));
}

}  // namespace

Ref<HeldNames> HeldNames::open(std::string bytes, std::string_view path) {
  Ref<HeldNames> held = make_ref<HeldNames>();
  held->bytes_ = std::move(bytes);
  std::optional<NamesDecoder> decoder = NamesDecoder::open(held->bytes_, path);
  if (!decoder) return nullptr;
  held->head_ = decoder->head();
  held->entries_crc_ = decoder->entries_crc();
  held->places_.reserve(decoder->count());
  while (const std::optional<NamesDecoder::Place> place = decoder->skip()) {
    const size_t offset = static_cast<size_t>(place->begin - held->bytes_.data());
    held->places_.push_back(
        {.hash = short_hash_of(place->name), .offset = static_cast<uint32_t>(offset)});
    held->has_unknown_ |= place->type == FileType::kUnknown;
  }
  std::sort(held->places_.begin(), held->places_.end());
  return held;
}

std::optional<StoredName> HeldNames::find(std::string_view name) const {
  const uint32_t hash = short_hash_of(name);
  auto at = std::lower_bound(places_.begin(), places_.end(), Place{.hash = hash, .offset = 0});
  for (; at != places_.end() && at->hash == hash; ++at) {
    NamesDecoder decoder = NamesDecoder::at(std::string_view(bytes_).substr(at->offset));
    if (decoder.next_name() == name) return decoder.next();
  }
  return {};
}

size_t HeldNames::memory_bytes() const {
  constexpr size_t kBesides = 1024;  // the head, the path, what keeps it
  return bytes_.capacity() + places_.capacity() * sizeof(Place) + kBesides;
}

Ref<HeldNames> HeldRecords::get(const std::string& path, std::string_view version,
                                const std::function<Ref<HeldNames>()>& make) {
  {
    sync::MutexLock lock(mutex_);
    while (making_.contains(path)) made_.wait(mutex_);
    if (Ref<HeldNames> held = find(path, version)) return held;
    making_.insert(path);
  }
  Ref<HeldNames> names = make();
  Order gone;  // after the lock
  {
    sync::MutexLock lock(mutex_);
    making_.erase(path);
    if (names) {
      put({.path = path,
           .version = std::string(version),
           .names = names,
           .bytes = names->memory_bytes()},
          gone);
    }
    made_.notify_all();
  }
  return names;
}

Ref<HeldNames> HeldRecords::find(const std::string& path, std::string_view version) {
  const auto found = by_path_.find(path);
  if (found == by_path_.end() || found->second->version != version) return nullptr;
  order_.splice(order_.begin(), order_, found->second);
  return order_.front().names;
}

void HeldRecords::put(Held held, Order& gone) {
  if (const auto found = by_path_.find(held.path); found != by_path_.end()) {
    take_out(found->second, gone);
  }
  bytes_ += held.bytes;
  order_.push_front(std::move(held));
  by_path_.emplace(order_.front().path, order_.begin());
  // One that is larger alone is kept until another comes.
  while (bytes_ > bytes_max_ && order_.size() > 1) take_out(std::prev(order_.end()), gone);
}

void HeldRecords::take_out(Order::iterator at, Order& gone) {
  by_path_.erase(at->path);
  bytes_ -= at->bytes;
  gone.splice(gone.end(), order_, at);
}

size_t HeldRecords::bytes() {
  sync::MutexLock lock(mutex_);
  return bytes_;
}

}  // namespace netfs
