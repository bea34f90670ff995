#include "daemon/back_writes.h"

#include <ctime>
#include <filesystem>
#include <span>
#include <spdlog/fmt/fmt.h>

#include "base/crc32c.h"
#include "journal/journal_scan.h"

namespace netfs::daemon {

namespace {

constexpr const char* kFolder = "journal";
constexpr int kLooks = 10;
constexpr timespec kBetweenLooks{.tv_sec = 0, .tv_nsec = 20'000'000};

std::string name_of(const std::string& volume_key) {
  const auto bytes = std::as_bytes(std::span(volume_key.data(), volume_key.size()));
  return fmt::format("{}/{:08x}{:08x}", kFolder, crc32c(bytes), crc32c(bytes, 1));
}

}  // namespace

Result<std::unique_ptr<BackWrites>> BackWrites::open(const std::string& cache_dir, Origin& inner,
                                                     const Settings& settings) {
  std::unique_ptr<BackWrites> back(new BackWrites());
  back->where_ = cache_dir + "/" + name_of(inner.volume_key());
  back->disk_ = TRY(cachefiles::RealDisk::create(cache_dir));
  const Result<void> made = back->disk_->make_directory(kFolder);
  if (!made.ok() && !made.is_error(EEXIST)) return made.error();
  // The folder's own name, too, is there after a power cut.
  TRY(back->disk_->sync_directory("."));
  const auto tell = [&teller = back->teller_, told = settings.went_elsewhere](const auto& path,
                                                                              const auto& beside) {
    (void)teller.post([told, path, beside] { told(path, beside); });
  };
  Result<std::unique_ptr<journal::JournaledOrigin>> opened =
      journal::JournaledOrigin::open({.inner = inner,
                                      .disk = *back->disk_,
                                      .directory = name_of(inner.volume_key()),
                                      .timeout = settings.timeout,
                                      .size_max = settings.size_max,
                                      .owner = settings.owner,
                                      .went_elsewhere = tell});
  if (opened.is_error(EBUSY)) {
    return Error(EBUSY, "mount", "this tree is mounted with --write=back already");
  }
  back->origin_ = TRY(std::move(opened));
  return back;
}

BackWrites::Left BackWrites::look(const std::string& cache_dir, const std::string& volume_key) {
  std::error_code ignored;
  const std::string name = name_of(volume_key);
  if (!std::filesystem::is_directory(cache_dir + "/" + name, ignored)) return Left::kNothing;
  Result<std::unique_ptr<cachefiles::RealDisk>> disk = cachefiles::RealDisk::create(cache_dir);
  if (!disk.ok()) return Left::kChanges;
  // Another one who only looks has it for a moment.
  for (int tries = 0;; ++tries) {
    const Result<bool> holds = journal::holds_changes(*disk.value(), name, volume_key);
    if (holds.ok()) return holds.value() ? Left::kChanges : Left::kNothing;
    if (!holds.is_error(EBUSY)) return Left::kChanges;
    if (tries == kLooks) return Left::kInUse;
    (void)::nanosleep(&kBetweenLooks, nullptr);
  }
}

}  // namespace netfs::daemon
