// Opening the store, recovery after a crash, and closing it.

#include <algorithm>
#include <spdlog/fmt/fmt.h>

#include "cachefiles/cache_form.h"
#include "cachefiles/limits.h"
#include "cachefiles/sqlite_index.h"
#include "cachefiles/store.h"
#include "cachefiles/store_turn.h"
#include "telemetry/log.h"

namespace netfs::cachefiles {

namespace {

constexpr const char* kFormatFile = "format";
// What a cache directory may hold besides what a newer version adds.
bool is_ours(const std::string& name) {
  for (const char* known : {"lock", "format", "format.new", "index", "index-wal", "index-journal",
                            "index.damaged", "objects", "dead", "lost+found"}) {
    if (name == known) return true;
  }
  return false;
}

Error refuse(const std::string& directory, const std::string& why) {
  return Error(ENOTSUP, "cachefiles.format",
               fmt::format("cache directory {} {}; choose another with --cache-dir, or remove it "
                           "if nothing in its journal waits to be uploaded",
                           directory, why));
}

// The form of what is there; nothing: there is no cache yet.
Result<std::optional<CacheForm>> read_form(Disk& disk, const CacheForm& ours,
                                           const std::string& directory) {
  Result<std::unique_ptr<DiskFile>> file = disk.open(kFormatFile, OpenMode::kRead);
  if (file.is_error(ENOENT)) return std::optional<CacheForm>();
  if (!file.ok()) return file.error();
  std::string text(kFormTextBytesMax, '\0');
  const size_t got =
      TRY(file.value()->read(0, std::as_writable_bytes(std::span(text.data(), text.size()))));
  text.resize(got);
  std::optional<CacheForm> found = CacheForm::decode(text);
  if (!found || found->layout != ours.layout) {
    return refuse(directory, "has another format than this netfs writes");
  }
  if (const std::string* word = ours.unknown_in(*found)) {
    return refuse(directory, fmt::format("holds what this netfs cannot read (\"{}\")", *word));
  }
  return found;
}

Result<void> check_form(Disk& disk, const CacheForm& ours, const std::string& directory) {
  const std::optional<CacheForm> found = TRY(read_form(disk, ours, directory));
  if (found) return {};
  bool foreign = false;
  TRY(disk.list(".", [&](const std::string& name) { foreign |= !is_ours(name); }));
  if (foreign) {
    return Error(ENOTEMPTY, "cachefiles.format",
                 fmt::format("{} holds files and is no cache; choose an empty directory with "
                             "--cache-dir",
                             directory));
  }
  return {};
}

// Before anything is written there: what another netfs finds in it is as its form says.
Result<void> set_form(Disk& disk, const CacheForm& ours, const std::string& directory) {
  const std::optional<CacheForm> found = TRY(read_form(disk, ours, directory));
  if (found && *found == ours) return {};
  Result<std::unique_ptr<DiskFile>> fresh = disk.open("format.new", OpenMode::kCreate);
  if (!fresh.ok()) return fresh.error();
  const std::string text = ours.text();
  TRY(fresh.value()->truncate(0));
  TRY(fresh.value()->write(0, std::as_bytes(std::span(text.data(), text.size()))));
  TRY(fresh.value()->sync_data());
  TRY(disk.rename("format.new", kFormatFile));
  return disk.sync_directory(".");
}

Result<void> make_if_missing(Disk& disk, const std::string& path) {
  const Result<void> made = disk.make_directory(path);
  if (made.ok() || made.is_error(EEXIST)) return {};
  return made;
}

std::optional<ObjectId> object_of_name(const std::string& name) {
  if (name.size() != 16) return std::nullopt;
  char* end = nullptr;
  const uint64_t id = std::strtoull(name.c_str(), &end, 16);
  if (*end != '\0') return std::nullopt;
  return ObjectId(id);
}

Error with_directory(const Error& error, const std::string& directory) {
  if (!error.detail().empty()) return error;
  const bool full = error.code() == ENOSPC || error.code() == EDQUOT;
  return Error(error.code(), error.context(),
               fmt::format("cache directory {} cannot be used ({}); {}", directory, error.message(),
                           full ? "its disk is full: free some space or choose another --cache-dir"
                                : "choose another with --cache-dir"));
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(const CacheFiles::Options& options, Disk& disk) {
  std::unique_ptr<Store> store(new Store(options, disk));
  const Result<void> started = store->start();
  if (!started.ok()) {
    sync::MutexLock lock(store->mutex_);
    store->closed_ = true;
    return with_directory(started.error(), options.directory);
  }
  return store;
}

Result<void> Store::start() {
  // The format first: a directory that is not a cache gets no lock file.
  TRY(check_form(disk_, form_, directory_));
  lock_file_ = TRY(disk_.lock("lock"));
  TRY(set_form(disk_, form_, directory_));
  TRY(prepare_directories());
  TRY(open_index());
  LastEnd last = LastEnd::kNone;
  Result<void> read = read_meta(&last);
  if (read.ok() && last == LastEnd::kUnclean) read = recover();
  if (read.is_error(EUCLEAN)) {
    TRY(rebuild_index());
  } else {
    TRY(read);
  }
  load_graveyard();
  // It says so already; and each commit brings this start's epoch before what counts on it.
  if (last == LastEnd::kUnclean) return {};
  IndexBatch batch;
  add_meta(batch, false);
  return index_->apply(batch);
}

Result<void> Store::prepare_directories() {
  TRY(make_if_missing(disk_, "dead"));
  const Result<FileStat> last = disk_.stat("objects/ff");
  if (last.ok()) return {};
  TRY(make_if_missing(disk_, "objects"));
  for (uint64_t i = 0; i < 256; ++i) TRY(make_if_missing(disk_, data_directory(ObjectId(i))));
  TRY(disk_.sync_directory("objects"));
  return disk_.sync_directory(".");
}

Result<void> Store::open_index() {
  Result<std::unique_ptr<SqliteIndex>> index = SqliteIndex::create(disk_);
  if (index.is_error(EUCLEAN)) {
    telemetry::log_error("cachefiles",
                         "cache {}: the index is damaged; it is set aside as index.damaged and the "
                         "cache starts empty",
                         directory_);
    counters_.rebuilt_indexes.add();
    TRY(SqliteIndex::set_aside(disk_));
    index = SqliteIndex::create(disk_);
  }
  if (!index.ok()) return index.error();
  index_ = std::move(index).value();
  return {};
}

Result<void> Store::read_meta(LastEnd* last) {
  const std::optional<std::string> value = TRY(index_->get(meta_key()));
  MetaRecord meta;
  if (value) {
    const std::optional<MetaRecord> record = decode_meta(meta_key(), *value);
    if (!record) return Error(EUCLEAN, "cachefiles.meta");
    meta = *record;
  } else {
    // A new index: what files there are belong to none.
    TRY(remove_everything());
  }
  epoch_ = meta.epoch + 1;
  unclean_epoch_ = meta.clean ? meta.unclean_epoch : epoch_;
  next_object_.store(meta.next_object);
  if (value) *last = meta.clean ? LastEnd::kClean : LastEnd::kUnclean;
  if (meta.clean) {
    space_.add(meta.allocated_bytes);
    object_count_.store(meta.object_count);
    sealed_count_.store(meta.sealed_count);
  }
  sync::MutexLock lock(mutex_);
  next_volume_ = meta.next_volume;
  return {};
}

// After an unclean end: the index is right about what it says; files that it does not name go, and
// so do records whose file is missing.
Result<void> Store::recover() {
  struct Known {
    ObjectId object;
    std::string key;
    uint64_t allocated_bytes = 0;
    int64_t last_use_seconds = 0;
    bool sealed = false;
  };
  std::vector<Known> known;
  IndexBatch repairs;
  const std::string space(1, static_cast<char>(KeySpace::kObject));
  uint64_t highest = 0;
  TRY(index_->scan(space, space, [&](std::string_view key, std::string_view value) {
    const std::optional<ObjectKeyParts> parts = parse_object_key(key);
    const std::optional<ObjectRecord> record = decode_object(key, value);
    if (parts && record) {
      known.push_back({parts->object, std::string(key), record->allocated_bytes,
                       record->last_use.seconds, record->state == StoredState::kSealed});
      highest = std::max(highest, parts->object.value);
    } else {
      counters_.damaged_records.add();
      repairs.remove(std::string(key));
    }
    return true;
  }));
  std::vector<ObjectId> ids;
  for (const Known& one : known) ids.push_back(one.object);
  std::sort(ids.begin(), ids.end());
  std::vector<ObjectId> missing;
  TRY(remove_orphans(ids, &missing));
  std::sort(missing.begin(), missing.end());
  for (const Known& one : known) {
    if (std::binary_search(missing.begin(), missing.end(), one.object)) {
      repairs.remove(one.key);
      repairs.remove(recency_key(one.last_use_seconds, one.object));
      repairs.remove_prefix(presence_prefix(one.object));
      repairs.remove_prefix(checksums_prefix(one.object));
      continue;
    }
    space_.add(one.allocated_bytes);
    object_count_.fetch_add(1);
    if (one.sealed) sealed_count_.fetch_add(1);
  }
  if (highest >= next_object_.load()) next_object_.store(highest + 1);
  telemetry::log_info("cachefiles", "cache {}: recovered after an unclean end: {} objects",
                      directory_, object_count_.load());
  return repairs.empty() ? Result<void>() : index_->apply(repairs);
}

Result<void> Store::remove_orphans(const std::vector<ObjectId>& known,
                                   std::vector<ObjectId>* missing) {
  std::vector<ObjectId> seen;
  for (uint64_t i = 0; i < 256; ++i) {
    const std::string directory = data_directory(ObjectId(i));
    std::vector<std::string> orphans;
    TRY(disk_.list(directory, [&](const std::string& name) {
      const std::optional<ObjectId> object = object_of_name(name);
      if (object && std::binary_search(known.begin(), known.end(), *object)) {
        seen.push_back(*object);
      } else {
        orphans.push_back(fmt::format("{}/{}", directory, name));
      }
    }));
    for (const std::string& orphan : orphans) {
      const Result<void> gone = disk_.remove(orphan);
      if (!gone.ok() && !gone.is_error(ENOENT)) return gone;
    }
  }
  std::sort(seen.begin(), seen.end());
  std::set_difference(known.begin(), known.end(), seen.begin(), seen.end(),
                      std::back_inserter(*missing));
  return {};
}

// Files of dead objects that were mapped when the last process ended.
void Store::load_graveyard() {
  std::vector<Buried> buried;
  const Result<void> listed = disk_.list("dead", [&](const std::string& name) {
    const std::optional<ObjectId> object = object_of_name(name);
    if (object) buried.push_back({*object, 0});
  });
  if (!listed.ok()) return;
  for (Buried& one : buried) {
    const Result<FileStat> st = disk_.stat(dead_path(one.object));
    if (st.ok()) one.charged_bytes = st.value().allocated_bytes;
    space_.add(one.charged_bytes);
  }
  {
    sync::MutexLock lock(mutex_);
    graveyard_ = std::move(buried);
  }
  empty_graveyard();
}

Result<void> Store::remove_everything() {
  std::vector<ObjectId> missing;
  return remove_orphans({}, &missing);
}

// The index is gone: so is everything it knew.  Objects in memory die, the mounts go on.
Result<void> Store::rebuild_index() {
  counters_.rebuilt_indexes.add();
  telemetry::log_error("cachefiles",
                       "cache {}: the damaged index is set aside as index.damaged; the cache "
                       "starts empty",
                       directory_);
  TRY(index_->rebuild());
  std::vector<ObjectId> died;
  table_.for_each([&](Object& object) {
    std::optional<Doomed> doomed = object.kill();
    if (!doomed) return;
    table_.leave(object);
    remove_object(*doomed);
  });
  remove_doomed();
  {
    sync::MutexLock lock(mutex_);
    for (const Doomed& doomed : removals_) died.push_back(doomed.object);
    removals_.clear();
    superseded_.clear();
    queued_.clear();
  }
  TRY(remove_everything());
  files_.close_retired();
  table_.end_dying(died);
  (void)table_.take_touches();
  uint64_t buried = 0;
  IndexBatch batch;
  {
    sync::MutexLock lock(mutex_);
    for (const Buried& one : graveyard_) buried += one.charged_bytes;
    for (const auto& [key, volume] : volumes_) {
      batch.put(volume_key_of(key), encode_volume(volume_key_of(key), volume));
    }
  }
  space_.change(space_.used_bytes(), buried);
  object_count_.store(0);
  sealed_count_.store(0);
  add_meta(batch, false);
  TRY(index_->apply(batch));
  index_damaged_.store(false);
  return {};
}

Result<void> Store::close() {
  {
    sync::MutexLock lock(mutex_);
    if (closed_) return {};
    closed_ = true;
  }
  Result<void> done = commit();
  Turn turn(*this);
  remove_doomed();
  empty_graveyard();
  files_.close_retired();
  if (done.ok()) done = write_recency();
  if (done.ok()) done = record_removals();
  // Names and files that were removed must be gone before the index says that the end was clean.
  if (done.ok()) done = sync_removed_names();
  if (done.ok() && !index_damaged_.load()) {
    IndexBatch batch;
    add_meta(batch, true);
    done = index_->apply(batch);
    if (done.ok()) done = index_->checkpoint(0);
  }
  return done;
}

}  // namespace netfs::cachefiles
