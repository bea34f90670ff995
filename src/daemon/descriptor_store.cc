#include "daemon/descriptor_store.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
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
constexpr std::string_view kHeldName = "netfs-held-";
constexpr int kFirstPassed = 3;  // sd_listen_fds(3)
constexpr int kPassedMax = 4096 + static_cast<int>(kHeldDescriptorsMax);
constexpr off_t kTextBytesMax = 64 << 20;
// Their names come to the next process in one variable, of which 128 KiB are taken.
constexpr size_t kHeldStoredMax = 2048;
constexpr Duration kBusy = std::chrono::seconds(10);  // no longer is taken for granted
constexpr Duration kLastPatience = std::chrono::seconds(2);
constexpr int kLastPauseMs = 5;

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

std::string held_name(uint64_t mount, uint64_t key) {
  return fmt::format("{}{}-{}", kHeldName, mount, key);
}

// Mount and key.
std::optional<std::pair<uint64_t, uint64_t>> held_by(std::string_view name) {
  const size_t dash = name.rfind('-');
  if (!name.starts_with(kHeldName) || dash < kHeldName.size()) return {};
  const std::optional<uint64_t> mount = number_of(name.substr(0, dash), kHeldName);
  const std::optional<uint64_t> key = number_of(name, name.substr(0, dash + 1));
  if (!mount || !key) return {};
  return std::pair(*mount, *key);
}

std::string to_store(const std::string& name) {
  return "FDSTORE=1\nFDNAME=" + name;
}

// A file of the origin: the manager is not to wait for it, nor to look for errors of it.
std::string to_store_held(const std::string& name) {
  return "FDSTORE=1\nFDPOLL=0\nFDNAME=" + name;
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
    // The newest comes first; an older one has a name twice if a netfs between did not know it.
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) passed.emplace(name, UniqueFd(fd));
  }
  return passed;
}

}  // namespace

DescriptorStore::DescriptorStore(StoredNames kept) {
  for (auto& [name, one] : kept) {
    if (const auto by = held_by(name)) {
      held_[by->first].stored[by->second] = {.fd = one.fd, .serial = {}};
      continue;
    }
    for (const std::string_view kind : {kTextName, kMountName}) {
      names_ = std::max(names_, number_of(name, kind).value_or(0));
    }
    kept_[name] = one;
  }
}

StoredNames DescriptorStore::kept() const {
  StoredNames all = kept_;
  for (const auto& [mount, held] : held_) {
    for (const auto& [key, one] : held.stored) all[held_name(mount, key)] = {mount, one.fd};
  }
  return all;
}

bool DescriptorStore::send(const std::string& state, int fd) {
  if (untold_ != 0) return false;
  const Result<void> sent = sd_notify_store(state, fd);
  untold_ = sent.code();
  if (!sent.ok()) {
    tell_of(sent.error());
    return false;
  }
  if (trouble_told_) telemetry::log_info("supervisor", "the service manager is told again");
  trouble_told_ = false;
  trouble_since_ = MonoTime::max();
  return true;
}

void DescriptorStore::tell_of(const Error& trouble) {
  const MonoTime now = Clock::system().now();
  trouble_since_ = std::min(trouble_since_, now);
  const bool is_busy = trouble.code() == EAGAIN && now < trouble_since_ + kBusy;
  if (is_busy || std::exchange(trouble_told_, true)) return;
  telemetry::log_warn("supervisor",
                      "the service manager cannot be told what to keep ({}): what it was not told "
                      "ends with this process, mounts too; it is tried on",
                      trouble.message());
}

void DescriptorStore::tell_of_no_room(size_t room) {
  if (std::exchange(no_room_told_, true)) return;
  telemetry::log_warn("supervisor",
                      "the service manager keeps {} locks and files without a name and has no room "
                      "for more of them: the others end with this process; raise "
                      "FileDescriptorStoreMax=",
                      room);
}

// Empty: it is not stored.
std::string DescriptorStore::stored_as(uint64_t mount, int fd) const {
  for (const auto& [name, one] : kept_) {
    if (one.mount == mount && one.fd == fd) return name;
  }
  return {};
}

// Stores it where it is not yet; empty: it could not be.
std::string DescriptorStore::name_of(uint64_t mount, int fd) {
  std::string name = stored_as(mount, fd);
  if (!name.empty()) return name;
  name = name_with(kMountName, ++names_);
  if (!send(to_store(name), fd)) return {};
  kept_[name] = {mount, fd};
  return name;
}

bool DescriptorStore::drop(const std::string& name) {
  return send("FDSTOREREMOVE=1\nFDNAME=" + name, -1);
}

size_t DescriptorStore::held_count() const {
  size_t count = 0;
  for (const auto& [mount, held] : held_) count += held.stored.size();
  return count;
}

// For what is held, beside all that mounts have there and what they are about to have.
size_t DescriptorStore::room_for_held(const MountsToStore& mounts) const {
  size_t others = kept_.size() + 1;  // and another text
  (void)encode_stored(mounts, [&](uint64_t mount, int fd) {
    if (stored_as(mount, fd).empty()) ++others;
    return std::string("name");
  });
  const size_t all = descriptor_store_size();
  return std::min({all / 2, all - std::min(all, others), kHeldStoredMax});
}

// Whether the manager has none of this mount's but these, and no more than there is room for.
bool DescriptorStore::drop_held(uint64_t mount, Held& has, const HeldDescriptors* now,
                                size_t room) {
  size_t surplus = held_count() - std::min(held_count(), room);
  for (auto one = has.stored.begin(); one != has.stored.end();) {
    auto& [key, stored] = *one;
    const bool same = now != nullptr && now->has(key) && now->all().at(key).get() == stored.fd &&
                      (!stored.serial || *stored.serial == now->serial(key));
    if (same && surplus == 0) {
      stored.serial = now->serial(key);
      ++one;
      continue;
    }
    if (!drop(held_name(mount, key))) return false;
    surplus -= std::min<size_t>(surplus, 1);
    one = has.stored.erase(one);
  }
  return true;
}

// Whether the manager has all of these now; not so if there is no room.
bool DescriptorStore::store_held_of(uint64_t mount, Held& has, const HeldDescriptors& now,
                                    size_t room) {
  for (const auto& [key, fd] : now.all()) {
    if (has.stored.contains(key)) continue;
    if (held_count() >= room) {
      tell_of_no_room(room);
      return false;
    }
    if (!send(to_store_held(held_name(mount, key)), fd.get())) return false;
    has.stored[key] = {.fd = fd.get(), .serial = now.serial(key)};
  }
  return true;
}

void DescriptorStore::keep_held(const MountsToStore& mounts) {
  const bool any = std::ranges::any_of(
      mounts.held, [](const auto& one) { return one.second.descriptors.count() > 0; });
  if (!any && held_.empty()) return;
  const size_t room = room_for_held(mounts);
  for (auto one = held_.begin(); one != held_.end();) {
    const bool gone =
        !mounts.held.contains(one->first) && drop_held(one->first, one->second, nullptr, room);
    one = gone ? held_.erase(one) : std::next(one);
  }
  for (const auto& [id, mount] : mounts.held) {
    const HeldDescriptors& now = mount.descriptors;
    if (!mount.kept || (now.count() == 0 && !held_.contains(id))) continue;
    Held& has = held_[id];
    if (has.changes == now.changes() && held_count() <= room) continue;
    has.changes.reset();
    if (!drop_held(id, has, &now, room)) continue;
    if (store_held_of(id, has, now, room)) has.changes = now.changes();
  }
}

bool DescriptorStore::keep(const MountsToStore& mounts) {
  if (!has_descriptor_store()) return true;
  untold_ = 0;
  keep_held(mounts);
  if (untold_ == 0) keep_mounts(mounts);
  return untold_ == 0;
}

void DescriptorStore::finish(const MountsToStore& mounts) {
  const Deadline until = Deadline::within(kLastPatience);
  while (!keep(mounts) && untold_ == EAGAIN && !until.passed(Clock::system().now())) {
    ::poll(nullptr, 0, kLastPauseMs);
  }
}

void DescriptorStore::keep_mounts(const MountsToStore& mounts) {
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
      if (!file || !send(to_store(name), file.get())) return;
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
  for (const std::string& name : unused) {
    if (drop(name)) kept_.erase(name);
  }
}

TakenStored take_stored() {
  std::map<std::string, UniqueFd> passed = passed_descriptors();
  StoredNames kept;
  std::string newest;
  for (const auto& [name, fd] : passed) {
    const bool is_text = number_of(name, kTextName).has_value();
    if (is_text) newest = std::max(newest, name);
    if (is_text || number_of(name, kMountName) || held_by(name)) kept[name] = {};
  }
  if (kept.empty()) return {};
  const std::string text = newest.empty() ? "" : text_of(passed[newest].get());
  Result<StoredMounts> mounts = decode_stored(text, [&](uint64_t mount, const std::string& name) {
    const auto found = passed.find(name);
    if (found == passed.end()) return UniqueFd();
    kept[name] = {mount, found->second.get()};
    return std::move(found->second);
  });
  if (mounts.ok()) {
    for (auto& [name, one] : kept) {
      const auto by = held_by(name);
      const auto held = by ? mounts.value().held.find(by->first) : mounts.value().held.end();
      if (held == mounts.value().held.end()) continue;
      UniqueFd& fd = passed[name];
      one = {by->first, fd.get()};
      held->second.descriptors.keep(by->second, std::move(fd));
    }
  }
  DescriptorStore store(std::move(kept));
  if (mounts.ok()) return {.stored = Stored{std::move(mounts).value(), std::move(store)}};
  telemetry::log_error(
      "supervisor", "what the service manager has kept is not of this netfs ({}): its mounts end",
      mounts.error().message());
  store.finish({"", 0, {}});
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
  stored.store.finish({"", 0, {}});
  for (const std::string& mount_point : mount_points) take_away(mount_point);
}

}  // namespace netfs::daemon
