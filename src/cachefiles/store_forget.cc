// What is stored of a path goes, by the administrator's word or because the path names another file
// now.

#include "cachefiles/store.h"
#include "cachefiles/store_turn.h"

namespace netfs::cachefiles {

Result<std::optional<VolumeId>> Store::volume_of(const std::string& volume_key) {
  const std::string key = volume_key_of(volume_key);
  const std::optional<std::string> value = TRY(index_->get(key));
  return value ? decode_volume(key, *value) : std::optional<VolumeId>();
}

Result<uint64_t> Store::drop(const std::string& volume_key, const std::string& path) {
  Turn turn(*this);
  std::optional<VolumeId> volume;
  if (!volume_key.empty()) {
    volume = TRY(volume_of(volume_key));
    if (!volume) return uint64_t{0};
  }
  return drop_tree_in_turn(volume, path);
}

Result<void> Store::drop_names(const std::string& volume_key) {
  Turn turn(*this);
  const std::optional<VolumeId> volume = TRY(volume_of(volume_key));
  if (!volume) return {};
  TRY(drop_in_turn(volume, [](const std::string& identity, const std::string&) {
    return identity.starts_with(kNamesIdentity);
  }));
  return {};
}

Result<void> Store::forget(VolumeId volume, const std::string& path, ForgetScope scope) {
  Turn turn(*this);
  if (scope == ForgetScope::kTree) {
    TRY(drop_tree_in_turn(volume, path));
    return {};
  }
  // The path is the identity where anybody asks for this.
  const auto discard_versions = [&] {
    for (const Ref<Object>& one : table_.find_versions(Object::make_table_prefix(volume, path))) {
      discard(*one);
    }
    remove_doomed();
  };
  discard_versions();
  const std::string prefix = object_prefix(volume, path);
  std::vector<std::pair<std::string, int64_t>> stored;
  TRY(index_->scan(prefix, prefix, [&](std::string_view key, std::string_view value) {
    const std::optional<ObjectRecord> record = decode_object(key, value);
    stored.emplace_back(key, record ? record->last_use.seconds : 0);
    return true;
  }));
  if (stored.empty()) return {};
  for (const auto& [key, last_use] : stored) {
    const std::optional<ObjectKeyParts> parts = parse_object_key(key);
    if (parts) cull_one(key, parts->object, last_use, Mapped::kBuried);
  }
  discard_versions();  // what was looked up since is not culled
  TRY(record_removals());
  files_.close_retired();
  return {};
}

// What is stored of a path and of what lies beneath it; "" is everything.
Result<uint64_t> Store::drop_tree_in_turn(const std::optional<VolumeId>& volume,
                                          const std::string& path) {
  // The names of the directory that has it, too: they tell what it is like.
  const size_t slash = path.rfind('/');
  const std::string names_above = path.substr(0, slash == std::string::npos ? 0 : slash) + "/";
  return drop_in_turn(volume, [&](const std::string&, const std::string& candidate) {
    return path.empty() || candidate == path || candidate == names_above ||
           (candidate.starts_with(path) && candidate[path.size()] == '/');
  });
}

Result<uint64_t> Store::drop_in_turn(const std::optional<VolumeId>& volume, const Covers& covers) {
  remove_doomed();
  std::vector<Ref<Object>> live;
  table_.for_each([&](Object& object) {
    if (volume && object.volume() != *volume) return;
    const CookieKey& key = object.key();
    if (object.state() != ObjectState::kAbsent && covers(key.identity, key.path)) {
      live.emplace_back(&object);
    }
  });
  uint64_t dropped = 0;  // files: names are not counted
  for (const Ref<Object>& object : live) {
    if (!object->key().identity.starts_with(kNamesIdentity)) ++dropped;
    discard(*object);
  }
  live.clear();
  std::vector<std::pair<std::string, Doomed>> stored;
  const std::string space(1, static_cast<char>(KeySpace::kObject));
  TRY(index_->scan(space, space, [&](std::string_view key, std::string_view value) {
    const std::optional<ObjectKeyParts> parts = parse_object_key(key);
    const std::optional<ObjectRecord> record = decode_object(key, value);
    if (!parts || (volume && parts->volume != *volume)) return true;
    const bool has_path = record && !record->path.empty();
    if (!covers(parts->identity, has_path ? record->path : parts->identity)) return true;
    Doomed doomed;
    doomed.object = parts->object;
    doomed.recorded_use_seconds = record ? record->last_use.seconds : 0;
    stored.emplace_back(key, doomed);
    return true;
  }));
  for (const auto& [key, one] : stored) {
    const std::optional<ObjectKeyParts> parts = parse_object_key(key);
    const uint64_t culled_before = counters_.culled_objects.get();
    cull_one(key, one.object, one.recorded_use_seconds, Mapped::kBuried);
    if (parts && parts->identity.starts_with(kNamesIdentity)) continue;
    dropped += counters_.culled_objects.get() - culled_before;
  }
  TRY(record_removals());
  files_.close_retired();
  return dropped;
}

}  // namespace netfs::cachefiles
