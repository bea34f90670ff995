#include "cachefiles/sim_disk.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace netfs::cachefiles {

class SimFile final : public DiskFile {
 public:
  SimFile(SimDisk& disk, std::string path, SimDisk::NodeRef node, bool writable, bool lock)
      : disk_(disk),
        path_(std::move(path)),
        node_(std::move(node)),
        generation_(disk.generation_.load()),
        writable_(writable),
        lock_(lock) {
    const uint64_t open = disk_.open_files_.fetch_add(1) + 1;
    uint64_t max = disk_.open_files_max_.load();
    while (max < open && !disk_.open_files_max_.compare_exchange_weak(max, open)) {
    }
  }
  ~SimFile() override {
    disk_.open_files_.fetch_sub(1);
    if (!lock_) return;
    sync::MutexLock lock(disk_.mutex_);
    if (disk_.locked_by_ == generation_) disk_.locked_by_ = UINT64_MAX;
  }

  Result<size_t> read(uint64_t offset_bytes, std::span<const iovec> pieces, Waiting) override {
    TRY(begin(SimDisk::Call::kRead, false));
    sync::MutexLock lock(disk_.mutex_);
    size_t done = 0;
    for (const iovec& piece : pieces) {
      const uint64_t at = offset_bytes + done;
      if (at >= node_->bytes.size()) break;
      const size_t n = std::min<size_t>(piece.iov_len, node_->bytes.size() - at);
      std::memcpy(piece.iov_base, node_->bytes.data() + at, n);
      done += n;
      if (n < piece.iov_len) break;
    }
    return done;
  }

  Result<void> write(uint64_t offset_bytes, std::span<const std::byte> data) override {
    if (!writable_) return Error(EBADF, "sim_disk.write");
    TRY(begin(SimDisk::Call::kWrite, true));
    sync::MutexLock lock(disk_.mutex_);
    TRY(take_pages(offset_bytes, offset_bytes + data.size()));
    SimDisk::Change change{false, offset_bytes,
                           std::string(reinterpret_cast<const char*>(data.data()), data.size())};
    SimDisk::apply(node_->bytes, change);
    node_->pending.push_back(std::move(change));
    return {};
  }

  Result<void> truncate(uint64_t size_bytes) override {
    if (!writable_) return Error(EBADF, "sim_disk.truncate");
    TRY(begin(SimDisk::Call::kTruncate, true));
    sync::MutexLock lock(disk_.mutex_);
    SimDisk::Change change{true, size_bytes, {}};
    SimDisk::apply(node_->bytes, change);
    const auto first_gone = node_->pages.lower_bound((size_bytes + kPage - 1) / kPage);
    disk_.allocated_ -=
        kPage * static_cast<uint64_t>(std::distance(first_gone, node_->pages.end()));
    node_->pages.erase(first_gone, node_->pages.end());
    node_->pending.push_back(std::move(change));
    return {};
  }

  Result<void> allocate(uint64_t size_bytes) override {
    if (!writable_) return Error(EBADF, "sim_disk.allocate");
    TRY(begin(SimDisk::Call::kTruncate, true));
    sync::MutexLock lock(disk_.mutex_);
    TRY(take_pages(0, size_bytes));
    SimDisk::Change change{true, size_bytes, {}};
    if (node_->bytes.size() < size_bytes) {
      SimDisk::apply(node_->bytes, change);
      node_->pending.push_back(std::move(change));
    }
    return {};
  }

  Result<void> sync_data() override {
    TRY(begin(SimDisk::Call::kSync, true));
    sync::MutexLock lock(disk_.mutex_);
    for (const SimDisk::Change& change : node_->pending) SimDisk::apply(node_->durable, change);
    node_->pending.clear();
    return {};
  }

  Result<FileStat> stat() override {
    TRY(begin(SimDisk::Call::kMeta, false));
    sync::MutexLock lock(disk_.mutex_);
    return FileStat{node_->bytes.size(), node_->pages.size() * kPage};
  }

  Result<uint64_t> data_end() override {
    TRY(begin(SimDisk::Call::kMeta, false));
    sync::MutexLock lock(disk_.mutex_);
    const size_t last = node_->bytes.find_last_not_of('\0');
    const uint64_t end = last == std::string::npos ? 0 : (last / kPage + 1) * kPage;
    return std::min<uint64_t>(end, node_->bytes.size());
  }

  Result<bool> only_user() override {
    TRY(begin(SimDisk::Call::kMeta, false));
    sync::MutexLock lock(disk_.mutex_);
    return !node_->mapped;
  }

  // A copy in memory: good for looking at the bytes.
  Result<UniqueFd> descriptor() override {
    TRY(begin(SimDisk::Call::kMeta, false));
    UniqueFd fd(::memfd_create("sim_disk", MFD_CLOEXEC));
    sync::MutexLock lock(disk_.mutex_);
    const auto size = static_cast<ssize_t>(node_->bytes.size());
    if (!fd || ::pwrite(fd.get(), node_->bytes.data(), node_->bytes.size(), 0) != size) {
      return Error::from_errno("sim_disk.descriptor");
    }
    return fd;
  }

 private:
  Result<void> begin(SimDisk::Call call, bool change) {
    if (generation_ != disk_.generation_.load()) return Error(EIO, "sim_disk.stale");
    return disk_.begin(call, path_, change);
  }

  Result<void> take_pages(uint64_t begin_bytes, uint64_t end_bytes) REQUIRES(disk_.mutex_) {
    std::vector<uint64_t> fresh;
    for (uint64_t page = begin_bytes / kPage; page * kPage < end_bytes; ++page) {
      if (!node_->pages.contains(page)) fresh.push_back(page);
    }
    if (disk_.allocated_ + fresh.size() * kPage > disk_.capacity_) {
      return Error(ENOSPC, "sim_disk.write");
    }
    disk_.allocated_ += fresh.size() * kPage;
    node_->pages.insert(fresh.begin(), fresh.end());
    return {};
  }

  static constexpr uint64_t kPage = SimDisk::kPage;

  SimDisk& disk_;
  const std::string path_;
  const SimDisk::NodeRef node_;
  const uint64_t generation_;
  const bool writable_;
  const bool lock_;
};

Result<void> SimDisk::begin(Call call, const std::string& path, bool change) {
  if (change && changes_.fetch_add(1) >= crash_at_.load()) dead_.store(true);
  if (dead_.load()) return Error(EIO, "sim_disk.dead");
  Fault fault;
  {
    sync::MutexLock lock(mutex_);
    fault = fault_;
  }
  const int code = fault ? fault(call, path) : 0;
  if (code != 0) return Error(code, "sim_disk.fault");
  return {};
}

void SimDisk::set_fault(Fault fault) {
  sync::MutexLock lock(mutex_);
  fault_ = std::move(fault);
}

void SimDisk::set_capacity(uint64_t bytes) {
  sync::MutexLock lock(mutex_);
  capacity_ = bytes;
}

uint64_t SimDisk::allocated_bytes() {
  sync::MutexLock lock(mutex_);
  return allocated_;
}

void SimDisk::flip(const std::string& path, uint64_t bit) {
  sync::MutexLock lock(mutex_);
  Node& node = *names_.at(path);
  for (std::string* bytes : {&node.bytes, &node.durable}) {
    if (bit / 8 < bytes->size()) (*bytes)[bit / 8] ^= static_cast<char>(1 << (bit % 8));
  }
}

std::vector<std::string> SimDisk::opened_for_writing() {
  sync::MutexLock lock(mutex_);
  return opened_for_writing_;
}

std::vector<std::string> SimDisk::files() {
  sync::MutexLock lock(mutex_);
  std::vector<std::string> paths;
  for (const auto& [path, node] : names_) {
    if (!node->directory) paths.push_back(path);
  }
  return paths;
}

void SimDisk::set_mapped(const std::string& name, bool mapped) {
  sync::MutexLock lock(mutex_);
  names_.at(name)->mapped = mapped;
}

void SimDisk::apply(std::string& bytes, const Change& change) {
  if (change.truncation) {
    bytes.resize(change.offset, '\0');
    return;
  }
  if (bytes.size() < change.offset + change.data.size()) {
    bytes.resize(change.offset + change.data.size(), '\0');
  }
  bytes.replace(change.offset, change.data.size(), change.data);
}

void SimDisk::apply(std::map<std::string, NodeRef>& names, const NameChange& change) {
  if (!change.from.empty()) {
    const auto found = names.find(change.from);
    // Its creation may have been lost while its removal was kept.
    if (found != names.end() && found->second == change.node) names.erase(found);
  }
  if (!change.to.empty()) names[change.to] = change.node;
}

std::string SimDisk::parent_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

Result<std::unique_ptr<DiskFile>> SimDisk::open(const std::string& path, OpenMode mode) {
  TRY(begin(Call::kOpen, path, mode == OpenMode::kCreateNew));
  sync::MutexLock lock(mutex_);
  NodeRef node;
  const auto found = names_.find(path);
  if (found != names_.end()) {
    if (mode == OpenMode::kCreateNew) return Error(EEXIST, "sim_disk.open");
    node = found->second;
  } else {
    if (mode == OpenMode::kRead || mode == OpenMode::kReadWrite) {
      return Error(ENOENT, "sim_disk.open");
    }
    const std::string parent = parent_of(path);
    if (parent != "." && !names_.contains(parent)) return Error(ENOENT, "sim_disk.open");
    node = std::make_shared<Node>();
    pending_names_.push_back({"", path, node});
    apply(names_, pending_names_.back());
  }
  if (mode != OpenMode::kRead) opened_for_writing_.push_back(path);
  return std::unique_ptr<DiskFile>(
      std::make_unique<SimFile>(*this, path, node, mode != OpenMode::kRead, false));
}

Result<FileStat> SimDisk::stat(const std::string& path) {
  TRY(begin(Call::kMeta, path, false));
  sync::MutexLock lock(mutex_);
  const auto found = names_.find(path);
  if (found == names_.end()) return Error(ENOENT, "sim_disk.stat");
  return FileStat{found->second->bytes.size(), found->second->pages.size() * kPage};
}

Result<void> SimDisk::remove(const std::string& path) {
  TRY(begin(Call::kRemove, path, true));
  sync::MutexLock lock(mutex_);
  const auto found = names_.find(path);
  if (found == names_.end()) return Error(ENOENT, "sim_disk.remove");
  // An open file keeps its blocks on a real disk; here they count as free at once.
  allocated_ -= found->second->pages.size() * kPage;
  pending_names_.push_back({path, "", found->second});
  apply(names_, pending_names_.back());
  return {};
}

Result<void> SimDisk::rename(const std::string& from, const std::string& to) {
  TRY(begin(Call::kRename, from, true));
  sync::MutexLock lock(mutex_);
  const auto found = names_.find(from);
  if (found == names_.end()) return Error(ENOENT, "sim_disk.rename");
  pending_names_.push_back({from, to, found->second});
  apply(names_, pending_names_.back());
  return {};
}

Result<void> SimDisk::make_directory(const std::string& path) {
  TRY(begin(Call::kMeta, path, true));
  sync::MutexLock lock(mutex_);
  if (names_.contains(path)) return Error(EEXIST, "sim_disk.make_directory");
  NodeRef node = std::make_shared<Node>();
  node->directory = true;
  pending_names_.push_back({"", path, node});
  apply(names_, pending_names_.back());
  return {};
}

Result<void> SimDisk::list(const std::string& path,
                           const std::function<void(const std::string&)>& sink) {
  TRY(begin(Call::kMeta, path, false));
  std::vector<std::string> names;
  {
    sync::MutexLock lock(mutex_);
    if (path != "." && !names_.contains(path)) return Error(ENOENT, "sim_disk.list");
    for (const auto& [name, node] : names_) {
      if (parent_of(name) == path) names.push_back(name.substr(name.find_last_of('/') + 1));
    }
  }
  for (const std::string& name : names) sink(name);
  return {};
}

Result<void> SimDisk::sync_directory(const std::string& path) {
  TRY(begin(Call::kSync, path, true));
  sync::MutexLock lock(mutex_);
  std::vector<NameChange> rest;
  for (NameChange& change : pending_names_) {
    const bool here = (!change.from.empty() && parent_of(change.from) == path) ||
                      (!change.to.empty() && parent_of(change.to) == path);
    if (here) {
      apply(durable_names_, change);
    } else {
      rest.push_back(std::move(change));
    }
  }
  pending_names_.swap(rest);
  return {};
}

Result<void> SimDisk::sync_all() {
  TRY(begin(Call::kSync, ".", true));
  sync::MutexLock lock(mutex_);
  for (const auto& [path, node] : names_) {
    for (const Change& change : node->pending) apply(node->durable, change);
    node->pending.clear();
  }
  durable_names_ = names_;
  pending_names_.clear();
  return {};
}

Result<std::unique_ptr<DiskFile>> SimDisk::lock(const std::string& path) {
  std::unique_ptr<DiskFile> made = TRY(open(path, OpenMode::kCreate));
  sync::MutexLock lock(mutex_);
  if (locked_by_ == generation_.load()) return Error(EBUSY, "sim_disk.lock");
  locked_by_ = generation_.load();
  return std::unique_ptr<DiskFile>(
      std::make_unique<SimFile>(*this, path, names_.at(path), true, true));
}

}  // namespace netfs::cachefiles
