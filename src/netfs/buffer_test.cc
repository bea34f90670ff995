#include "netfs/buffer.h"

#include <gtest/gtest.h>

namespace netfs {
namespace {

TEST(BufferPool, GivesAtLeastWhatWasAskedPageAligned) {
  BufferPool pool(size_t{64} << 20, 0);
  for (const size_t bytes :
       {size_t{1}, size_t{4096}, size_t{4097}, size_t{65536}, size_t{100'000}, kBufferBytesMax}) {
    const Ref<Buffer> buffer = pool.try_allocate(bytes);
    ASSERT_TRUE(buffer);
    EXPECT_GE(buffer->capacity_bytes(), bytes);
    EXPECT_LT(buffer->capacity_bytes(), 2 * std::max(bytes, kBufferBytesMin));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->bytes().data()) % 4096, 0U);
  }
  EXPECT_EQ(pool.used_bytes(), 0U);
}

TEST(BufferPool, SpentBudgetRefusesReadaheadButNoReader) {
  BufferPool pool(10'000, 0);
  const Ref<Buffer> first = pool.try_allocate(8192);
  EXPECT_TRUE(first);
  EXPECT_FALSE(pool.try_allocate(4096));
  const Ref<Buffer> reader = pool.allocate_for_reader(4096);
  EXPECT_TRUE(reader);
  EXPECT_EQ(pool.used_bytes(), 12'288U);
}

TEST(BufferPool, IdleMemoryIsReusedAndBounded) {
  BufferPool pool(size_t{1} << 20, 8192);
  const std::byte* data = nullptr;
  {
    const Ref<Buffer> buffer = pool.try_allocate(4096);
    data = buffer->bytes().data();
  }
  const Ref<Buffer> again = pool.try_allocate(4096);
  EXPECT_EQ(again->bytes().data(), data);
}

TEST(BufferPool, IdleMemoryFollowsTheSizesInUse) {
  BufferPool pool(size_t{8} << 20, size_t{1} << 20);
  { const Ref<Buffer> large = pool.try_allocate(size_t{1} << 20); }
  const std::byte* data = nullptr;
  {
    const Ref<Buffer> small = pool.try_allocate(64 << 10);
    data = small->bytes().data();
  }
  const Ref<Buffer> small = pool.try_allocate(64 << 10);
  EXPECT_EQ(small->bytes().data(), data);
}

}  // namespace
}  // namespace netfs
