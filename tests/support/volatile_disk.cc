#include "tests/support/volatile_disk.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <random>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/unique_fd.h"
#include "fuse/device_channel.h"
#include "fuse/mount.h"
#include "fuse/session.h"
#include "sync/mutex.h"
#include "tests/support/lock_classes.h"
#include "tests/support/process.h"
#include "tests/support/wait.h"

namespace netfs::test {
namespace {

constexpr std::chrono::seconds kDiskTimeout{60};
// What a disk writes whole or not at all.
constexpr uint64_t kSectorBytes = 512;
// The same number for ext4 (EXT4_IOC_SHUTDOWN) and xfs (XFS_IOC_GOINGDOWN); no header has both.
constexpr unsigned long kIocGoDown = _IOR('X', 125, uint32_t);
constexpr uint32_t kGoDownAtOnce = 2;

using Sector = std::array<std::byte, kSectorBytes>;

}  // namespace

// The disk after each cut is a file of its own: a loop device that still has the dead one writes
// nothing to it.
class VolatileDisk::Server final : public fuse::Handler {
 public:
  Server(UniqueFd medium, uint64_t size_bytes)
      : medium_(std::move(medium)), size_bytes_(size_bytes) {}
  ~Server() override {
    if (!mount_point_.empty()) (void)fuse::unmount(mount_point_, fuse::UnmountMode::kForce);
    if (session_) session_->stop(Deadline::after(Clock::system(), kDiskTimeout));
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Result<void> serve(const std::string& mount_point) {
    std::vector<UniqueFd> fds =
        TRY(fuse::mount_directly({.source = "volatile-disk", .mount_point = mount_point}));
    mount_point_ = mount_point;
    channel_ = TRY(fuse::DeviceChannel::create(std::move(fds)));
    session_ = TRY(fuse::Session::create(*channel_, *this, {.passthrough = false, .writable = true},
                                         Clock::system()));
    session_->start();
    if (!session_->wait_negotiated(Deadline::after(Clock::system(), kDiskTimeout))) {
      return Error(ETIMEDOUT, "test.volatile_disk");
    }
    return {};
  }

  [[nodiscard]] std::string file() const {
    sync::MutexLock lock(mutex_);
    return mount_point_ + "/" + name_of(now_);
  }
  [[nodiscard]] uint64_t operations() const {
    sync::MutexLock lock(mutex_);
    return operations_;
  }
  [[nodiscard]] bool is_cut() const {
    sync::MutexLock lock(mutex_);
    return cut_;
  }
  void cut_at(uint64_t operation, Kept kept, uint64_t seed) {
    sync::MutexLock lock(mutex_);
    last_ = operations_ + operation - 1;
    kept_ = kept;
    random_.seed(seed);
  }
  void cut_power(Kept kept, uint64_t seed) {
    sync::MutexLock lock(mutex_);
    if (cut_) return;
    kept_ = kept;
    random_.seed(seed);
    cut_locked();
  }
  void power_is_back() {
    sync::MutexLock lock(mutex_);
    if (!cut_) cut_locked();
    now_ = fuse::NodeId(now_.value + 1);
    cut_ = false;
    last_ = UINT64_MAX;
  }

  void started(const fuse::Negotiated& /*negotiated*/) override {}
  void interrupt(uint64_t /*unique*/) override {}
  void handle(const fuse::Request& request, fuse::Reply reply) override {
    if (!reply) return;
    const fuse::NodeId node = request.header.node;
    if (const auto* lookup = std::get_if<fuse::LookupRequest>(&request.body)) {
      answer_lookup(lookup->name, std::move(reply));
    } else if (std::holds_alternative<fuse::GetattrRequest>(request.body)) {
      reply.value(fuse::attr_out(attributes(node), fuse::kForever));
    } else if (std::holds_alternative<fuse::OpenRequest>(request.body)) {
      reply.value(fuse::open_out({.handle = fuse::HandleId(1), .direct_io = true}));
    } else if (const auto* read = std::get_if<fuse::ReadRequest>(&request.body)) {
      std::vector<std::byte> bytes;
      const int error = read_at(node, read->range, bytes);
      error == 0 ? reply.data(bytes) : reply.error(error);
    } else if (const auto* write = std::get_if<fuse::WriteRequest>(&request.body)) {
      const int error = write_at(node, write->offset, write->data);
      if (error != 0) return reply.error(error);
      reply.value(fuse::write_out(static_cast<uint32_t>(write->data.size())));
    } else if (std::holds_alternative<fuse::FsyncRequest>(request.body)) {
      const int error = flush(node);
      error == 0 ? reply.ok() : reply.error(error);
    } else if (std::holds_alternative<fuse::ReleaseRequest>(request.body)) {
      reply.ok();
    } else {
      reply.error(ENOSYS);
    }
  }

 private:
  static std::string name_of(fuse::NodeId node) { return "disk" + std::to_string(node.value); }
  [[nodiscard]] fuse::Attr attributes(fuse::NodeId node) const {
    if (node == fuse::kRootNode) return {.ino = 1, .mode = S_IFDIR | 0700, .link_count = 2};
    return {.ino = node.value, .size_bytes = size_bytes_, .mode = S_IFREG | 0600};
  }
  void answer_lookup(std::string_view name, fuse::Reply reply) {
    fuse::NodeId node;
    {
      sync::MutexLock lock(mutex_);
      node = now_;
    }
    if (name != name_of(node)) return reply.error(ENOENT);
    reply.value(fuse::entry_out({.node = node,
                                 .entry_valid = fuse::kForever,
                                 .attr_valid = fuse::kForever,
                                 .attr = attributes(node)}));
  }

  int read_at(fuse::NodeId node, ByteRange range, std::vector<std::byte>& bytes) {
    sync::MutexLock lock(mutex_);
    if (node != now_ || cut_) return EIO;
    bytes.resize(range.length_bytes);
    const ssize_t n =
        ::pread(medium_.get(), bytes.data(), bytes.size(), static_cast<off_t>(range.offset_bytes));
    if (n < 0) return errno;
    bytes.resize(static_cast<size_t>(n));
    const uint64_t end = range.offset_bytes + bytes.size();
    for (auto at = cache_.lower_bound(range.offset_bytes);
         at != cache_.end() && at->first + kSectorBytes <= end; ++at) {
      std::copy(at->second.begin(), at->second.end(),
                bytes.begin() + static_cast<ptrdiff_t>(at->first - range.offset_bytes));
    }
    return 0;
  }
  int write_at(fuse::NodeId node, uint64_t offset, std::span<const std::byte> data) {
    sync::MutexLock lock(mutex_);
    if (const int error = count_locked(node); error != 0) return error;
    // No loop device asks for parts of its sectors.
    if (offset % kSectorBytes != 0 || data.size() % kSectorBytes != 0) return EINVAL;
    for (size_t i = 0; i < data.size(); i += kSectorBytes) {
      std::copy_n(data.begin() + static_cast<ptrdiff_t>(i), kSectorBytes,
                  cache_[offset + i].begin());
    }
    return 0;
  }
  int flush(fuse::NodeId node) {
    sync::MutexLock lock(mutex_);
    if (const int error = count_locked(node); error != 0) return error;
    for (const auto& [offset, sector] : cache_) put_locked(offset, sector);
    cache_.clear();
    return 0;
  }
  // Whether an operation is done.
  int count_locked(fuse::NodeId node) REQUIRES(mutex_) {
    if (node != now_ || cut_) return EIO;
    if (operations_ < last_) {
      ++operations_;
      return 0;
    }
    cut_locked();
    return EIO;
  }
  void cut_locked() REQUIRES(mutex_) {
    cut_ = true;
    const uint64_t eighths = random_() % 8;  // how many of eight sectors got through, by some
    for (const auto& [offset, sector] : cache_) {
      if (kept_ == Kept::kAll || (kept_ == Kept::kSome && random_() % 8 < eighths)) {
        put_locked(offset, sector);
      }
    }
    cache_.clear();
  }
  void put_locked(uint64_t offset, const Sector& sector) REQUIRES(mutex_) {
    const ssize_t n =
        ::pwrite(medium_.get(), sector.data(), sector.size(), static_cast<off_t>(offset));
    NETFS_ASSERT(n == static_cast<ssize_t>(sector.size()));
  }

  const UniqueFd medium_;
  const uint64_t size_bytes_;
  std::string mount_point_;
  std::unique_ptr<fuse::DeviceChannel> channel_;
  mutable sync::Mutex mutex_{kVolatileDiskLock};
  std::map<uint64_t, Sector> cache_ GUARDED_BY(mutex_);  // by offset: not on the medium
  fuse::NodeId now_ GUARDED_BY(mutex_){2};
  uint64_t operations_ GUARDED_BY(mutex_) = 0;
  uint64_t last_ GUARDED_BY(mutex_) = UINT64_MAX;
  bool cut_ GUARDED_BY(mutex_) = false;
  Kept kept_ GUARDED_BY(mutex_) = Kept::kNothing;
  std::mt19937_64 random_ GUARDED_BY(mutex_);
  std::unique_ptr<fuse::Session> session_;
};

VolatileDisk::VolatileDisk(const TempDir& temp, const std::string& type, unsigned size_mib)
    : type_(type),
      path_(temp.make_dir(type + ".volatile")),
      served_at_(temp.make_dir(type + ".disk")) {
  const std::string medium = temp / (type + ".medium");
  UniqueFd file(::open(medium.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file || ::ftruncate(file.get(), static_cast<off_t>(size_mib) << 20) != 0) {
    trouble_ = medium + ": " + std::strerror(errno);
    return;
  }
  const std::vector<std::string> make =
      type_ == "xfs"
          ? std::vector<std::string>{"mkfs.xfs", "-q", medium}
          : std::vector<std::string>{
                "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", medium};
  const Finished made = run(make, kDiskTimeout);
  if (made.status != 0) {
    trouble_ = make[0] + ": " + made.output;
    return;
  }
  server_ = std::make_unique<Server>(std::move(file), static_cast<uint64_t>(size_mib) << 20);
  const Result<void> served = server_->serve(served_at_);
  if (!served.ok()) {
    trouble_ = served_at_ + ": " + served.error().message();
  } else if (!mount() && trouble_.empty()) {
    trouble_ = "cannot be mounted";
  }
}

VolatileDisk::~VolatileDisk() {
  if (server_ == nullptr) return;
  server_->cut_power(Kept::kNothing, 0);  // what is on it is of no use to anybody
  if (!unmount()) ::umount2(path_.c_str(), MNT_DETACH);
}

// The loop device goes with the mount.  A dead file system of the same name may linger on.
bool VolatileDisk::mount() {
  const std::string options = type_ == "xfs" ? "loop,noatime,nouuid" : "loop,noatime";
  const Finished done =
      run({"mount", "-t", type_, "-o", options, server_->file(), path_}, kDiskTimeout);
  if (done.status != 0) trouble_ = "mount: " + done.output;
  return done.status == 0;
}

bool VolatileDisk::unmount() {
  {
    const UniqueFd directory(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    uint32_t flags = kGoDownAtOnce;
    if (directory) (void)::ioctl(directory.get(), kIocGoDown, &flags);
  }
  // A process that was just killed may need a moment to let go of its files.
  return wait_until([this] { return ::umount2(path_.c_str(), 0) == 0 || errno != EBUSY; },
                    kDiskTimeout);
}

uint64_t VolatileDisk::operations() const {
  return server_->operations();
}

void VolatileDisk::cut_at(uint64_t operation, Kept kept, uint64_t seed) {
  server_->cut_at(operation, kept, seed);
}

void VolatileDisk::cut_power(Kept kept, uint64_t seed) {
  server_->cut_power(kept, seed);
}

bool VolatileDisk::is_cut() const {
  return server_->is_cut();
}

bool VolatileDisk::mount_again() {
  server_->cut_power(Kept::kNothing, 0);
  if (!unmount()) return false;
  server_->power_is_back();
  return mount();
}

}  // namespace netfs::test
