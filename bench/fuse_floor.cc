// fuse_floor: a file system that does nothing, on our own transport: what a read through a daemon
// can cost at least here.
//
//   fuse_floor mount ZERO_FILE DIRECTORY SIZE_BYTES     mounts until unmounted or SIGTERM
//
// It has one file, "floor", of that many zero bytes; a READ is answered from one static buffer, a
// LOOKUP and a GETATTR with fixed attributes that stay valid for ever.  The words stand as other
// clients' do (clients.h): the second names nothing.

#include <cstdio>
#include <signal.h>
#include <stdlib.h>
#include <string_view>
#include <sys/stat.h>

#include "fuse/device_channel.h"
#include "fuse/mount.h"
#include "fuse/session.h"
#include "sync/thread.h"

namespace netfs::bench {
namespace {

constexpr fuse::NodeId kFloorNode{2};

class FloorHandler : public fuse::Handler {
 public:
  explicit FloorHandler(uint64_t size_bytes) : size_bytes_(size_bytes) {}
  void started(const fuse::Negotiated&) override {}
  void interrupt(uint64_t) override {}
  void handle(const fuse::Request& request, fuse::Reply reply) override;

 private:
  [[nodiscard]] fuse::Attr attr_of(fuse::NodeId node) const {
    if (node == fuse::kRootNode) return {.ino = 1, .mode = S_IFDIR | 0755, .link_count = 2};
    return {.ino = 2, .size_bytes = size_bytes_, .mode = S_IFREG | 0444};
  }

  const uint64_t size_bytes_;
};

void FloorHandler::handle(const fuse::Request& request, fuse::Reply reply) {
  alignas(4096) static const std::byte kZeroes[1 << 20] = {};
  if (const auto* read = std::get_if<fuse::ReadRequest>(&request.body)) {
    uint64_t length = std::min<uint64_t>(read->range.length_bytes, sizeof kZeroes);
    if (read->range.offset_bytes >= size_bytes_) length = 0;
    reply.data(std::span(kZeroes).first(length));
  } else if (const auto* lookup = std::get_if<fuse::LookupRequest>(&request.body)) {
    if (lookup->name != "floor") return reply.error(ENOENT);
    reply.value(fuse::entry_out({.node = kFloorNode,
                                 .entry_valid = fuse::kForever,
                                 .attr_valid = fuse::kForever,
                                 .attr = attr_of(kFloorNode)}));
  } else if (std::holds_alternative<fuse::GetattrRequest>(request.body)) {
    reply.value(fuse::attr_out(attr_of(request.header.node), fuse::kForever));
  } else if (std::holds_alternative<fuse::OpenRequest>(request.body)) {
    reply.value(fuse::open_out({.handle = fuse::HandleId{1}, .keep_cache = true}));
  } else if (std::holds_alternative<fuse::OpendirRequest>(request.body)) {
    reply.value(fuse::open_out({.handle = fuse::HandleId{1}}));
  } else if (std::holds_alternative<fuse::ReaddirRequest>(request.body)) {
    reply.ok();
  } else if (std::holds_alternative<fuse::StatfsRequest>(request.body)) {
    reply.value(fuse::statfs_out({}));
  } else if (std::holds_alternative<fuse::ReleaseRequest>(request.body) ||
             std::holds_alternative<fuse::ReleasedirRequest>(request.body)) {
    reply.ok();
  } else if (std::holds_alternative<fuse::ForgetRequest>(request.body) ||
             std::holds_alternative<fuse::BatchForgetRequest>(request.body)) {
    reply.none();
  } else {
    reply.error(ENOSYS);
  }
}

Result<void> serve(const char* directory, uint64_t size_bytes) {
  fuse::MountOptions mount{.source = "floor",
                           .mount_point = directory,
                           .subtype = "floor",
                           .queues = sync::cpu_count(),
                           .read_only = true};
  std::vector<UniqueFd> fds = TRY(fuse::mount(mount));
  auto channel = TRY(fuse::DeviceChannel::create(std::move(fds)));
  FloorHandler handler(size_bytes);
  auto session = TRY(fuse::Session::create(*channel, handler, {}, Clock::system()));
  session->start();
  session->wait(Deadline::never());
  session->stop(Deadline::after(Clock::system(), std::chrono::seconds(1)));
  return {};
}

}  // namespace
}  // namespace netfs::bench

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s mount ZERO_FILE DIRECTORY SIZE_BYTES\n", argv[0]);
    return 2;
  }
  auto served = netfs::bench::serve(argv[3], ::strtoull(argv[4], nullptr, 10));
  if (!served.ok()) std::fprintf(stderr, "fuse_floor: %s\n", served.error().message().c_str());
  return served.ok() ? 0 : 1;
}
