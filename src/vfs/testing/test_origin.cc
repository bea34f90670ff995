#include "vfs/testing/test_origin.h"

#include <utility>

namespace netfs::vfs {

namespace {
constexpr Duration kPatience = std::chrono::seconds(60);
}  // namespace

void TestOrigin::hold() {
  sync::MutexLock lock(mutex_);
  holding_ = true;
}

void TestOrigin::release(size_t listings_end) {
  sync::MutexLock lock(mutex_);
  holding_ = false;
  listings_end_ = listings_end;
  changed_.notify_all();
}

void TestOrigin::hold_listings_at(size_t entries, int error) {
  sync::MutexLock lock(mutex_);
  listings_end_ = entries;
  listings_error_ = error;
}

Result<void> TestOrigin::wait_in_listing(size_t entries) {
  const Deadline patience = Deadline::after(Clock::system(), kPatience);
  sync::MutexLock lock(mutex_);
  if (entries < listings_end_) return {};
  ++held_;
  changed_.notify_all();
  while (entries >= listings_end_ && changed_.wait_until(mutex_, patience.at)) {
  }
  --held_;
  if (listings_error_ != 0) return Error(std::exchange(listings_error_, 0), "test.origin");
  return {};
}

bool TestOrigin::wait_held(size_t count) {
  const Deadline deadline = Deadline::after(Clock::system(), kPatience);
  sync::MutexLock lock(mutex_);
  while (held_ < count) {
    if (!changed_.wait_until(mutex_, deadline.at)) return held_ >= count;
  }
  return true;
}

void TestOrigin::set_error(int error) {
  sync::MutexLock lock(mutex_);
  error_ = error;
}

void TestOrigin::add_entry(OriginEntry entry) {
  sync::MutexLock lock(mutex_);
  entries_.push_back(std::move(entry));
}

void TestOrigin::set_change(std::function<void(const std::string&, NodeInfo&)> change) {
  sync::MutexLock lock(mutex_);
  change_ = std::move(change);
}

TestOrigin::Counts TestOrigin::counts() const {
  sync::MutexLock lock(mutex_);
  return counts_;
}

Deadline TestOrigin::last_deadline() const {
  sync::MutexLock lock(mutex_);
  return last_deadline_;
}

Result<void> TestOrigin::enter(uint64_t Counts::*counter, Deadline deadline) {
  // The deadline is of the test's clock, which stands still: patience bounds the wait.
  const Deadline patience = Deadline::after(Clock::system(), kPatience);
  sync::MutexLock lock(mutex_);
  ++(counts_.*counter);
  last_deadline_ = deadline;
  ++held_;
  changed_.notify_all();
  while (holding_ && changed_.wait_until(mutex_, patience.at)) {
  }
  --held_;
  if (error_ != 0) return Error(error_, "test.origin");
  return {};
}

void TestOrigin::change(const std::string& path, NodeInfo& info) {
  std::function<void(const std::string&, NodeInfo&)> change;
  {
    sync::MutexLock lock(mutex_);
    change = change_;
  }
  if (change) change(path, info);
}

Result<NodeInfo> TestOrigin::stat(const std::string& path, Deadline deadline) {
  TRY(enter(&Counts::stats, deadline));
  NodeInfo info = TRY(tree_.stat(path, deadline));
  change(path, info);
  return info;
}

Result<void> TestOrigin::list(const std::string& path, Deadline deadline, const EntrySink& sink) {
  TRY(enter(&Counts::lists, deadline));
  std::vector<OriginEntry> more;
  if (path.empty()) {
    sync::MutexLock lock(mutex_);
    more = entries_;
  }
  std::vector<OriginEntry> entries;
  TRY(tree_.list(path, deadline, [&](OriginEntry entry) -> Result<void> {
    entries.push_back(std::move(entry));
    return {};
  }));
  for (size_t i = 0; i < entries.size(); ++i) {
    OriginEntry& entry = entries[i];
    TRY(wait_in_listing(i));
    change(path.empty() ? entry.name : path + "/" + entry.name, entry.info);
    TRY(sink(std::move(entry)));
  }
  for (OriginEntry& entry : more) TRY(sink(std::move(entry)));
  return {};
}

Result<std::string> TestOrigin::read_link(const std::string& path, Deadline deadline) {
  TRY(enter(&Counts::links, deadline));
  return tree_.read_link(path, deadline);
}

Result<FileSystemStats> TestOrigin::stat_file_system(Deadline deadline) {
  TRY(enter(&Counts::file_systems, deadline));
  return tree_.stat_file_system(deadline);
}

}  // namespace netfs::vfs
