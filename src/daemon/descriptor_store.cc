#include "daemon/descriptor_store.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fcntl.h>
#include <set>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "daemon/sd_notify.h"
#include "fuse/mount.h"
#include "fuse/mount_table.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

constexpr std::string_view kTextName = "netfs-text-";
constexpr std::string_view kMountName = "netfs-mount-";
constexpr int kFirstPassed = 3;  // sd_listen_fds(3)
constexpr int kPassedMax = 4096;
constexpr off_t kTextBytesMax = 64 << 20;

std::string name_with(std::string_view kind, uint64_t number) {
  return fmt::format("{}{:012}", kind, number);  // of one length: the last one is the newest
}

std::optional<uint64_t> number_of(std::string_view name, std::string_view kind) {
  if (!name.starts_with(kind)) return {};
  name.remove_prefix(kind.size());
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return {};
  return number;
}

bool store(const std::string& name, int fd) {
  return sd_notify_store("FDSTORE=1\nFDNAME=" + name, fd);
}

UniqueFd file_of(const std::string& text) {
  UniqueFd file(::memfd_create("netfs-stored", MFD_CLOEXEC));
  const bool written =
      file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  return written ? std::move(file) : UniqueFd();
}

std::string text_of(int fd) {
  struct stat st {};
  std::string text;
  if (::fstat(fd, &st) != 0 || st.st_size > kTextBytesMax) return text;
  text.resize(static_cast<size_t>(st.st_size));
  if (::pread(fd, text.data(), text.size(), 0) != st.st_size) text.clear();
  return text;
}

// The value of a variable, which is gone then: no child of ours is to think it meant.
std::string taken_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  return text;
}

// By name; what has a name of somebody else is closed.
std::map<std::string, UniqueFd> passed_descriptors() {
  const std::string pid = taken_variable("LISTEN_PID");
  const std::string count = taken_variable("LISTEN_FDS");
  std::string names = taken_variable("LISTEN_FDNAMES");
  std::map<std::string, UniqueFd> passed;
  if (pid != std::to_string(::getpid())) return passed;
  const int all = std::min(std::atoi(count.c_str()), kPassedMax);
  for (int fd = kFirstPassed; fd < kFirstPassed + all; ++fd) {
    const size_t end = names.find(':');
    const std::string name = names.substr(0, end);
    names.erase(0, end == std::string::npos ? end : end + 1);
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) passed[name] = UniqueFd(fd);
  }
  return passed;
}

}  // namespace

DescriptorStore::DescriptorStore(StoredNames kept) : kept_(std::move(kept)) {
  for (const auto& [name, one] : kept_) {
    for (const std::string_view kind : {kTextName, kMountName}) {
      names_ = std::max(names_, number_of(name, kind).value_or(0));
    }
  }
}

// Stores it where it is not yet; empty: it could not be.
std::string DescriptorStore::name_of(uint64_t mount, int fd) {
  for (const auto& [name, one] : kept_) {
    if (one.mount == mount && one.fd == fd) return name;
  }
  std::string name = name_with(kMountName, ++names_);
  if (!store(name, fd)) return {};
  kept_[name] = {mount, fd};
  return name;
}

void DescriptorStore::drop(const std::string& name) {
  if (sd_notify_store("FDSTOREREMOVE=1\nFDNAME=" + name, -1)) kept_.erase(name);
}

void DescriptorStore::keep(const MountsToStore& mounts) {
  if (!has_descriptor_store()) return;
  std::set<std::string> used;
  std::string text = encode_stored(mounts, [&](uint64_t mount, int fd) {
    std::string name = name_of(mount, fd);
    used.insert(name);
    return name;
  });
  if (used.contains("")) return;
  if (used.empty()) {
    text_.clear();
  } else {
    // The new text before the old one goes: whenever we die, the newest is right.
    if (text != text_) {
      std::string name = name_with(kTextName, ++names_);
      const UniqueFd file = file_of(text);
      if (!file || !store(name, file.get())) return;
      kept_[name] = {};
      text_name_ = std::move(name);
      text_ = std::move(text);
    }
    used.insert(text_name_);
  }
  std::vector<std::string> unused;
  for (const auto& [name, one] : kept_) {
    if (!used.contains(name)) unused.push_back(name);
  }
  for (const std::string& name : unused) drop(name);
}

TakenStored take_stored() {
  std::map<std::string, UniqueFd> passed = passed_descriptors();
  StoredNames kept;
  std::string newest;
  for (const auto& [name, fd] : passed) {
    const bool is_text = number_of(name, kTextName).has_value();
    if (is_text) newest = std::max(newest, name);
    if (is_text || number_of(name, kMountName)) kept[name] = {};
  }
  if (kept.empty()) return {};
  const std::string text = newest.empty() ? "" : text_of(passed[newest].get());
  Result<StoredMounts> mounts = decode_stored(text, [&](uint64_t mount, const std::string& name) {
    const auto found = passed.find(name);
    if (found == passed.end()) return UniqueFd();
    kept[name] = {mount, found->second.get()};
    return std::move(found->second);
  });
  DescriptorStore store(std::move(kept));
  if (mounts.ok()) return {.stored = Stored{std::move(mounts).value(), std::move(store)}};
  telemetry::log_error(
      "supervisor", "what the service manager has kept is not of this netfs ({}): its mounts end",
      mounts.error().message());
  store.keep({"", 0, {}});
  return {.stored = {}, .dropped = true};
}

void take_away(const std::string& mount_point) {
  const Result<std::optional<fuse::MountEntry>> there = fuse::find_mount(mount_point);
  if (!there.ok() || !there.value() || there.value()->type != "fuse.netfs") return;
  const Result<void> gone = fuse::unmount(mount_point, fuse::UnmountMode::kLazy);
  if (!gone.ok()) telemetry::log_error("supervisor", "{}", gone.error().message());
}

void drop_stored(Stored stored) {
  std::vector<std::string> mount_points = std::move(stored.mounts.lost);
  for (const auto& [id, held] : stored.mounts.held) mount_points.push_back(held.mount_point);
  stored.mounts.held.clear();
  stored.store.keep({"", 0, {}});
  for (const std::string& mount_point : mount_points) take_away(mount_point);
}

}  // namespace netfs::daemon
