// splice_spike: would large replies gain by splice(2)?  A file of the disk's page cache, read
// through a daemon that copies its bytes, that copies and checks them as netfs does, that reads and
// checks them and then splices what it has read, and that splices them.
//
//   splice_spike DIRECTORY [ROUNDS]      an empty directory, the file is made beside it; root
//
// Reads are O_DIRECT, so that each is a READ of its length.  What is only spliced has been looked
// at by nobody: this is the most that could be gained.  What is checked and then spliced is read
// twice, and may have changed in between: this is what could be gained where that does not matter.

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "fuse/caller_watch.h"
#include "fuse/device_channel.h"
#include "spikes/spike.h"

namespace netfs::spike {
namespace {

constexpr size_t kReadBytesMax = 512 << 10;
constexpr size_t kPageBytes = 4096;
constexpr int kPipeBytes = 1 << 20;  // more is not given to everybody
constexpr uint64_t kStoredBytes = 256 << 20;

UniqueFd stored_file(const std::string& directory) {
  const std::string path = directory + ".data";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  NETFS_ASSERT(fd);
  std::vector<char> bytes(kReadBytesMax, 'x');
  for (uint64_t at = 0; at < kStoredBytes; at += bytes.size()) {
    const auto wrote = ::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    NETFS_ASSERT(wrote == static_cast<ssize_t>(bytes.size()));
  }
  (void)::unlink(path.c_str());
  return fd;
}

// The file is longer than what is stored of it, which comes again and again.
off_t place_of(const ByteRange& range) {
  return static_cast<off_t>(range.offset_bytes % kStoredBytes);
}

// Good until this thread reads again.
std::span<const std::byte> read_stored(const UniqueFd& stored, const ByteRange& range) {
  alignas(kPageBytes) thread_local std::byte buffer[kReadBytesMax];
  const iovec to{buffer, range.length_bytes};
  const ssize_t got = ::preadv2(stored.get(), &to, 1, place_of(range), RWF_NOWAIT);
  NETFS_ASSERT(got == static_cast<ssize_t>(range.length_bytes));
  return std::span(buffer).first(range.length_bytes);
}

void check_pages(std::span<const std::byte> bytes) {
  uint32_t sum = 0;
  for (size_t page = 0; page < bytes.size(); page += kPageBytes) {
    sum += crc32c(bytes.subspan(page, kPageBytes));
  }
  NETFS_ASSERT(sum != 1);
}

class Copying : public OneFile {
 public:
  Copying(const UniqueFd& stored, bool checks) : stored_(stored), checks_(checks) {}

 protected:
  void read(const fuse::ReadRequest& request, fuse::Reply reply) override {
    const std::span<const std::byte> bytes = read_stored(stored_, request.range);
    if (checks_) check_pages(bytes);
    reply.data(bytes);
  }

 private:
  const UniqueFd& stored_;
  const bool checks_;
};

// What the answer that this thread gives now is to be made of.
struct Spliced {
  size_t length = 0;  // 0: it is sent as it is
  off_t at = 0;
};
thread_local Spliced spliced;

class Splicing final : public OneFile {
 public:
  Splicing(const UniqueFd& stored, bool checks) : stored_(stored), checks_(checks) {}

 protected:
  void read(const fuse::ReadRequest& request, fuse::Reply reply) override {
    alignas(kPageBytes) static const std::byte kNobodySees[kReadBytesMax] = {};
    if (checks_) check_pages(read_stored(stored_, request.range));
    spliced = {request.range.length_bytes, place_of(request.range)};
    reply.data(std::span(kNobodySees).first(request.range.length_bytes));
    spliced = {};
  }

 private:
  const UniqueFd& stored_;
  const bool checks_;
};

struct Pipe {
  Pipe() {
    int both[2];
    NETFS_ASSERT(::pipe2(both, O_CLOEXEC) == 0);
    out = UniqueFd(both[0]);
    in = UniqueFd(both[1]);
    NETFS_ASSERT(::fcntl(in.get(), F_SETPIPE_SZ, kPipeBytes) >= kPipeBytes);
  }
  UniqueFd out;
  UniqueFd in;
};

class SpliceChannel final : public fuse::KernelChannel {
 public:
  SpliceChannel(fuse::KernelChannel& inner, const std::vector<UniqueFd>& devices,
                const UniqueFd& stored)
      : inner_(inner), devices_(devices), stored_(stored) {}

  [[nodiscard]] unsigned queue_count() const override { return inner_.queue_count(); }
  Result<std::span<const std::byte>> receive(unsigned queue, std::span<std::byte> buffer) override {
    return inner_.receive(queue, buffer);
  }
  Result<void> send(unsigned queue, std::span<const iovec> message) override {
    if (spliced.length == 0) return inner_.send(queue, message);
    thread_local Pipe pipe;
    const iovec& header = message.front();
    NETFS_ASSERT(::write(pipe.in.get(), header.iov_base, header.iov_len) ==
                 static_cast<ssize_t>(header.iov_len));
    for (size_t left = spliced.length; left > 0;) {
      loff_t at = spliced.at + static_cast<off_t>(spliced.length - left);
      const ssize_t moved =
          ::splice(stored_.get(), &at, pipe.in.get(), nullptr, left, SPLICE_F_MOVE);
      NETFS_ASSERT(moved > 0);
      left -= static_cast<size_t>(moved);
    }
    const size_t all = header.iov_len + spliced.length;
    const ssize_t sent =
        ::splice(pipe.out.get(), nullptr, devices_[queue].get(), nullptr, all, SPLICE_F_MOVE);
    NETFS_ASSERT(sent == static_cast<ssize_t>(all));
    return {};
  }
  Result<int32_t> backing_open(int fd) override { return inner_.backing_open(fd); }
  Result<void> backing_close(int32_t id) override { return inner_.backing_close(id); }
  void shutdown() override { inner_.shutdown(); }

 private:
  fuse::KernelChannel& inner_;
  const std::vector<UniqueFd>& devices_;
  const UniqueFd& stored_;
};

fuse::SessionOptions placed(fuse::CallerWatch& callers) {
  fuse::SessionOptions options;
  options.callers = &callers;
  return options;
}

Result<void> serve_copies(const std::string& directory, bool checks) {
  const UniqueFd stored = stored_file(directory);
  std::vector<UniqueFd> fds = TRY(mount(directory));
  const auto channel = TRY(fuse::DeviceChannel::create(std::move(fds)));
  fuse::CallerWatch callers;
  Copying handler(stored, checks);
  return serve(*channel, handler, placed(callers));
}
Result<void> serve_copied(const std::string& directory) {
  return serve_copies(directory, false);
}
Result<void> serve_checked(const std::string& directory) {
  return serve_copies(directory, true);
}
Result<void> serve_splices(const std::string& directory, bool checks) {
  const UniqueFd stored = stored_file(directory);
  std::vector<UniqueFd> fds = TRY(mount(directory));
  std::vector<UniqueFd> devices;
  for (const UniqueFd& fd : fds) devices.emplace_back(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  const auto device = TRY(fuse::DeviceChannel::create(std::move(fds)));
  SpliceChannel channel(*device, devices, stored);
  fuse::CallerWatch callers;
  Splicing handler(stored, checks);
  return serve(channel, handler, placed(callers));
}
Result<void> serve_checked_then_spliced(const std::string& directory) {
  return serve_splices(directory, true);
}
Result<void> serve_spliced(const std::string& directory) {
  return serve_splices(directory, false);
}

template <size_t kBytes>
void read_in_turn(const std::string&, uint64_t turn, int fd) {
  alignas(kPageBytes) thread_local char bytes[kBytes];
  const uint64_t at = turn * kBytes % kFileBytes;
  NETFS_ASSERT(::pread(fd, bytes, kBytes, static_cast<off_t>(at)) == static_cast<ssize_t>(kBytes));
}

}  // namespace
}  // namespace netfs::spike

int main(int argc, char** argv) {
  using namespace netfs::spike;
  return main_of(argc, argv,
                 {{"copied", serve_copied},
                  {"copied and checked", serve_checked},
                  {"checked, then spliced", serve_checked_then_spliced, "copied and checked"},
                  {"spliced", serve_spliced}},
                 {{"4 KiB reads, 1 job", read_in_turn<4096>, 1},
                  {"64 KiB reads, 1 job", read_in_turn<65536>, 1},
                  {"128 KiB reads, 1 job", read_in_turn<131072>, 1},
                  {"512 KiB reads, 1 job", read_in_turn<524288>, 1},
                  {"512 KiB reads, 4 jobs", read_in_turn<524288>, 4}});
}
