// The way of a request (read, decode, handle, send) takes no memory: every allocation of this
// program is counted by the thread that makes it.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>
#include <new>

#include "base/sanitizer.h"
#include "fuse/fake_kernel.h"
#include "fuse/session.h"

// The thread sanitizer brings operators of its own, which cannot be replaced.
#define NETFS_OWN_NEW !NETFS_THREAD_SANITIZER

static thread_local uint64_t allocations = 0;

#if NETFS_OWN_NEW
namespace {
void* counted(size_t size) {
  ++allocations;
  void* at = std::malloc(size);
  if (at == nullptr) std::abort();
  return at;
}
}  // namespace

void* operator new(size_t size) {
  return counted(size);
}
void* operator new[](size_t size) {
  return counted(size);
}
void operator delete(void* at) noexcept {
  std::free(at);
}
void operator delete[](void* at) noexcept {
  std::free(at);
}
void operator delete(void* at, size_t) noexcept {
  std::free(at);
}
void operator delete[](void* at, size_t) noexcept {
  std::free(at);
}
#endif

namespace netfs::fuse {
namespace {

// Answers every request on the queue's thread, and reports what that thread has allocated so far.
class CountingHandler final : public Handler {
 public:
  void started(const Negotiated& /*negotiated*/) override {}
  void interrupt(uint64_t /*unique*/) override {}
  void handle(const Request& request, Reply reply) override {
    if (std::holds_alternative<ReadRequest>(request.body)) {
      const std::span<const std::byte> seen = bytes_of(allocations);
      return reply.data(seen);
    }
    // STATFS takes memory, to show that it would be seen; by call, which no compiler may leave out.
    if (std::holds_alternative<StatfsRequest>(request.body)) {
      ::operator delete(::operator new(1));
    }
    reply.error(ENOENT);
  }
};

TEST(SessionHotPath, ServingRequestsAllocatesNothing) {
  if (!NETFS_OWN_NEW) {
    std::printf("SKIPPED: SessionHotPath: the thread sanitizer's operator new stands in the way\n");
    GTEST_SKIP() << "no operator new of our own in this build";
  }
  const auto kernel = FakeKernel::create(1);
  CountingHandler handler;
  const auto session = MUST(Session::create(kernel->channel(), handler, {}, Clock::system()));
  session->start();
  ASSERT_TRUE(kernel->init().has_value());
  const proto::ReadIn in{.fh = 1, .offset = 0, .size = 4096};
  const auto allocated = [&] {
    const auto answer = kernel->call(Opcode::kRead, NodeId(2), in);
    EXPECT_TRUE(answer.has_value());
    return answer ? answer->as<uint64_t>() : 0;
  };
  const uint64_t before = allocated();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(kernel->call_name(Opcode::kLookup, kRootNode, "a name that is rather long"));
  }
  EXPECT_EQ(allocated(), before);
  ASSERT_TRUE(kernel->call(Opcode::kStatfs, kRootNode, in));
  EXPECT_EQ(allocated(), before + 1);
  session->stop(Deadline::after(Clock::system(), FakeKernel::kPatience));
}

}  // namespace
}  // namespace netfs::fuse
