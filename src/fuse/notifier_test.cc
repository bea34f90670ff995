#include "fuse/notifier.h"

#include <cstring>
#include <gtest/gtest.h>
#include <string>

#include "fuse/fake_kernel.h"

namespace netfs::fuse {
namespace {

Deadline soon() {
  return Deadline::after(Clock::system(), FakeKernel::kPatience);
}

template <class T>
T head_of(const FakeKernel::Notification& notification) {
  T value{};
  EXPECT_GE(notification.body.size(), sizeof value);
  std::memcpy(&value, notification.body.data(), std::min(sizeof value, notification.body.size()));
  return value;
}

template <class T>
std::string name_of(const FakeKernel::Notification& notification) {
  const auto* text = reinterpret_cast<const char*>(notification.body.data()) + sizeof(T);
  return {text, notification.body.size() - sizeof(T)};
}

TEST(Notifier, EachKindLeavesInTheKernelsLayoutAndInOrder) {
  const auto kernel = FakeKernel::create();
  Notifier notifier(kernel->channel());
  ASSERT_TRUE(notifier.inval_inode(NodeId(5), {4096, 8192}));
  ASSERT_TRUE(notifier.inval_attributes(NodeId(6)));
  ASSERT_TRUE(notifier.inval_entry(NodeId(7), "name"));
  ASSERT_TRUE(notifier.expire_entry(NodeId(7), "other"));
  ASSERT_TRUE(notifier.delete_entry(NodeId(7), NodeId(8), "gone"));

  auto sent = kernel->await_notification();
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(sent->code, proto::Notify::kInvalInode);
  const auto inode = head_of<proto::NotifyInvalInodeOut>(*sent);
  EXPECT_EQ(inode.ino, 5U);
  EXPECT_EQ(inode.off, 4096);
  EXPECT_EQ(inode.len, 8192);

  sent = kernel->await_notification();
  ASSERT_TRUE(sent.has_value());
  EXPECT_LT(head_of<proto::NotifyInvalInodeOut>(*sent).off, 0);

  sent = kernel->await_notification();
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(sent->code, proto::Notify::kInvalEntry);
  const auto entry = head_of<proto::NotifyInvalEntryOut>(*sent);
  EXPECT_EQ(entry.parent, 7U);
  EXPECT_EQ(entry.namelen, 4U);
  EXPECT_EQ(entry.flags, 0U);
  EXPECT_EQ(name_of<proto::NotifyInvalEntryOut>(*sent), std::string("name\0", 5));

  sent = kernel->await_notification();
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(head_of<proto::NotifyInvalEntryOut>(*sent).flags, proto::kExpireOnly);

  sent = kernel->await_notification();
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(sent->code, proto::Notify::kDelete);
  EXPECT_EQ(head_of<proto::NotifyDeleteOut>(*sent).child, 8U);
  EXPECT_EQ(name_of<proto::NotifyDeleteOut>(*sent), std::string("gone\0", 5));

  ASSERT_TRUE(notifier.drain(soon()));
  EXPECT_EQ(notifier.counters().done.get(), 5U);
  EXPECT_EQ(kernel->protocol_errors(), 0U);
}

TEST(Notifier, ResendIsAHeaderAlone) {
  const auto kernel = FakeKernel::create();
  ASSERT_TRUE(send_resend(kernel->channel()).ok());
  const auto sent = kernel->await_notification();
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(sent->code, proto::Notify::kResend);
  EXPECT_TRUE(sent->body.empty());
}

// A channel whose sends wait, as the kernel may let them.
class StuckChannel final : public KernelChannel {
 public:
  [[nodiscard]] unsigned queue_count() const override { return 1; }
  Result<std::span<const std::byte>> receive(unsigned, std::span<std::byte>) override {
    return Error(ENODEV, "test");
  }
  Result<void> send(unsigned, std::span<const iovec>) override {
    sync::MutexLock lock(mutex_);
    ++entered_;
    changed_.notify_all();
    while (!open_) changed_.wait(mutex_);
    return Error(ENOENT, "test");
  }
  Result<int32_t> backing_open(int) override { return Error(ENOTTY, "test"); }
  Result<void> backing_close(int32_t) override { return Error(ENOTTY, "test"); }
  void shutdown() override {}

  void wait_entered() {
    sync::MutexLock lock(mutex_);
    while (entered_ == 0) ASSERT_TRUE(changed_.wait_until(mutex_, soon().at));
  }
  void let_go() {
    sync::MutexLock lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  sync::Mutex mutex_{kFakeKernelLock};
  sync::CondVar changed_;
  unsigned entered_ GUARDED_BY(mutex_) = 0;
  bool open_ GUARDED_BY(mutex_) = false;
};

TEST(Notifier, AFullQueueRefusesAtOnceAndNeverBlocksThePoster) {
  StuckChannel channel;
  Notifier notifier(channel, 2);
  ASSERT_TRUE(notifier.inval_attributes(NodeId(1)));
  channel.wait_entered();
  ASSERT_TRUE(notifier.inval_attributes(NodeId(2)));
  ASSERT_TRUE(notifier.inval_attributes(NodeId(3)));
  EXPECT_FALSE(notifier.inval_attributes(NodeId(4)));
  EXPECT_EQ(notifier.refused(), 1U);
  EXPECT_EQ(notifier.depth(), 2U);
  EXPECT_FALSE(notifier.drain(Deadline{MonoTime{}}));
  channel.let_go();
  EXPECT_TRUE(notifier.drain(soon()));
  // ENOENT means that the kernel has nothing to forget.
  EXPECT_EQ(notifier.counters().done.get(), 3U);
}

TEST(Notifier, AfterStopEverythingIsRefused) {
  const auto kernel = FakeKernel::create();
  Notifier notifier(kernel->channel());
  notifier.stop();
  EXPECT_FALSE(notifier.inval_attributes(NodeId(1)));
  EXPECT_FALSE(notifier.inval_entry(NodeId(1), std::string(kNameMax + 1, 'x')));
  notifier.stop();
}

TEST(Notifier, AnEndedConnectionCountsAsFailedAndHangsNobody) {
  const auto kernel = FakeKernel::create();
  Notifier notifier(kernel->channel());
  kernel->unmount();
  ASSERT_TRUE(notifier.inval_attributes(NodeId(1)));
  EXPECT_TRUE(notifier.drain(soon()));
  EXPECT_EQ(notifier.counters().failed.get(), 1U);
}

}  // namespace
}  // namespace netfs::fuse
