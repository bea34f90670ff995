#include "cachefiles/cache_files.h"

#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "cachefiles/limits.h"
#include "cachefiles/real_disk.h"
#include "cachefiles/store.h"

namespace netfs::cachefiles {

namespace {

class StoreVolume final : public Volume {
 public:
  StoreVolume(Store& store, VolumeId id) : store_(store), id_(id) {}
  Result<Ref<Cookie>> lookup(CookieKey key) override {
    const Ref<Object> object = TRY(store_.lookup(id_, std::move(key)));
    return Ref<Cookie>(object);
  }
  Result<std::optional<CookieKey>> newest(const std::string& identity) override {
    return store_.newest(id_, identity);
  }
  [[nodiscard]] bool has_room() const override { return store_.has_room(); }
  [[nodiscard]] VolumeId id() const { return id_; }

 private:
  Store& store_;
  const VolumeId id_;
};

class StoreWriter final : public CacheWriter {
 public:
  explicit StoreWriter(Store& store) : store_(store) {}

  Result<void> store(Cookie& cookie, BlockIndex first, std::span<const std::byte> data) override {
    const WriteSide side;
    return static_cast<Object&>(cookie).store(first, data);
  }
  Result<void> commit() override {
    const WriteSide side;
    return store_.commit();
  }
  void may_seal(Cookie& cookie) override {
    const WriteSide side;
    static_cast<Object&>(cookie).allow_seal();
  }
  void discard(Cookie& cookie) override {
    const WriteSide side;
    store_.discard(static_cast<Object&>(cookie));
  }
  Result<void> forget(Volume& volume, const std::string& path, ForgetScope scope) override {
    const WriteSide side;
    return store_.forget(static_cast<StoreVolume&>(volume).id(), path, scope);
  }
  void maintain() override {
    const WriteSide side;
    store_.maintain();
    store_.scrub(kScrubBytes);
  }

 private:
  Store& store_;
};

class RealCacheFiles final : public CacheFiles {
 public:
  RealCacheFiles(std::unique_ptr<Disk> disk, std::unique_ptr<Store> store)
      : disk_(std::move(disk)), store_(std::move(store)) {}

  Result<Ref<Volume>> open_volume(const std::string& volume_key) override {
    const WriteSide side;
    const VolumeId id = TRY(store_->open_volume(volume_key));
    sync::MutexLock lock(mutex_);
    Ref<StoreVolume>& volume = volumes_[id];
    if (!volume) volume = make_ref<StoreVolume>(*store_, id);
    return Ref<Volume>(volume);
  }
  std::unique_ptr<CacheWriter> open_writer() override {
    sync::MutexLock lock(mutex_);
    NETFS_ASSERT(!writer_opened_);
    writer_opened_ = true;
    return std::make_unique<StoreWriter>(*store_);
  }
  [[nodiscard]] CacheUsage usage() const override { return store_->usage(); }
  Result<void> close() override {
    const WriteSide side;
    return store_->close();
  }
  Result<void> list(const ObjectSink& sink) override { return store_->list(sink); }
  Result<uint64_t> drop(const std::string& volume_key, const std::string& path) override {
    const WriteSide side;
    return store_->drop(volume_key, path);
  }
  Result<void> drop_names(const std::string& volume_key) override {
    const WriteSide side;
    return store_->drop_names(volume_key);
  }

 private:
  const std::unique_ptr<Disk> disk_;  // null when the caller brought one
  const std::unique_ptr<Store> store_;
  sync::Mutex mutex_{kVolumesLock};
  std::unordered_map<VolumeId, Ref<StoreVolume>> volumes_ GUARDED_BY(mutex_);
  bool writer_opened_ GUARDED_BY(mutex_) = false;
};

// The real path of `path`, or of its parent with the last name put back if it is missing.
std::string resolve(const std::string& path) {
  std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), ::free);
  if (real) return real.get();
  const size_t slash = path.find_last_of('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  std::unique_ptr<char, void (*)(void*)> above(::realpath(parent.c_str(), nullptr), ::free);
  if (!above) return path;
  return std::string(above.get()) + "/" + path.substr(slash == std::string::npos ? 0 : slash + 1);
}

}  // namespace

Result<std::unique_ptr<CacheFiles>> CacheFiles::create(Options options) {
  const WriteSide side;
  std::unique_ptr<Disk> own;
  Disk* disk = options.disk;
  if (!disk) {
    own = TRY(RealDisk::create(options.directory));
    disk = own.get();
  }
  std::unique_ptr<Store> store = TRY(Store::open(options, *disk));
  return std::unique_ptr<CacheFiles>(
      std::make_unique<RealCacheFiles>(std::move(own), std::move(store)));
}

Result<void> check_cache_location(const std::string& directory,
                                  std::span<const std::string> mount_points) {
  std::string path = directory;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  path = resolve(path);
  for (const std::string& mount_point : mount_points) {
    std::string root = mount_point;
    while (root.size() > 1 && root.back() == '/') root.pop_back();
    root = resolve(root);
    const bool under =
        root == "/" || path == root || (path.starts_with(root) && path[root.size()] == '/');
    if (!under) continue;
    return Error(ELOOP, "cachefiles.location",
                 fmt::format("cache directory {} lies under the mount {}; choose another with "
                             "--cache-dir",
                             directory, mount_point));
  }
  return {};
}

}  // namespace netfs::cachefiles
