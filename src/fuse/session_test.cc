#include "fuse/session.h"

#include <atomic>
#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "fuse/session_test_handler.h"

namespace netfs::fuse {
namespace {

using Policy = TestHandler::Policy;

TEST_F(SessionTest, InitIsSettledBeforeTheHandlerSeesAnything) {
  session_->start();
  EXPECT_FALSE(session_->wait_negotiated(Deadline{MonoTime{}}).has_value());
  const auto early = kernel_->await(ask());  // the real kernel would not
  ASSERT_TRUE(early.has_value());
  EXPECT_EQ(early->error, EIO);
  EXPECT_EQ(handler_.handled(), 0U);
  const auto out = kernel_->init();
  ASSERT_TRUE(out.has_value());
  EXPECT_EQ(out->major, 7U);
  EXPECT_EQ(out->minor, 45U);
  EXPECT_EQ(out->max_write, 1U << 20);
  EXPECT_EQ(out->max_pages, 256U);
  EXPECT_EQ(out->max_stack_depth, 1U);
  EXPECT_EQ(handler_.starts(), 1U);
  EXPECT_TRUE(session_->wait_negotiated(soon())->passthrough);
}

TEST_F(SessionTest, AKernelOf7Point31WithAShortInitWorks) {
  session_->start();
  proto::InitIn in = FakeKernel::newest_init();
  in.minor = 31;
  in.flags &= ~static_cast<uint32_t>(proto::kInitExt);
  const auto out = kernel_->init(in, proto::kInitInOldBytes);
  ASSERT_TRUE(out.has_value());
  EXPECT_EQ(out->minor, 31U);
  EXPECT_EQ(out->flags2, 0U);
  EXPECT_FALSE(session_->wait_negotiated(soon())->passthrough);
  const auto answer = kernel_->await(ask());
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->error, 0);
}

TEST_F(SessionTest, AKernelOf7Point12GetsTheShortInitAnswer) {
  session_->start();
  const proto::InitIn in{.major = 7, .minor = 12, .max_readahead = 4096, .flags = 1};
  const auto answer =
      kernel_->await(kernel_->send(Opcode::kInit, NodeId(0), bytes_of(in).first(16)));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->body.size(), 24U);
}

TEST_F(SessionTest, ANewerMajorIsAskedToSpeakOurs) {
  session_->start();
  proto::InitIn in = FakeKernel::newest_init();
  in.major = 8;
  in.minor = 0;
  auto out = kernel_->init(in);
  ASSERT_TRUE(out.has_value());
  EXPECT_EQ(out->major, 7U);
  EXPECT_EQ(handler_.starts(), 0U);
  out = kernel_->init();
  ASSERT_TRUE(out.has_value());
  EXPECT_EQ(handler_.starts(), 1U);
}

TEST_F(SessionTest, ATooOldKernelIsRefusedAndASecondInitToo) {
  session_->start();
  EXPECT_FALSE(kernel_->init({.major = 7, .minor = 8}).has_value());
  EXPECT_TRUE(kernel_->init().has_value());
  EXPECT_FALSE(kernel_->init().has_value());
  EXPECT_EQ(handler_.starts(), 1U);
}

TEST_F(SessionTest, AnswersReachTheirRequestsAndAreCounted) {
  start();
  const auto attributes = kernel_->await(ask());
  ASSERT_TRUE(attributes.has_value());
  EXPECT_EQ(attributes->as<proto::AttrOut>().attr.ino, 1U);
  const auto lookup = kernel_->call_name(Opcode::kLookup, kRootNode, "absent");
  ASSERT_TRUE(lookup.has_value());
  EXPECT_EQ(lookup->error, ENOENT);
  EXPECT_EQ(count(Opcode::kGetattr).issued.get(), 1U);
  EXPECT_EQ(count(Opcode::kGetattr).done.get(), 1U);
  EXPECT_EQ(count(Opcode::kLookup).failed.get(), 1U);
  const auto& op = session_->counters().ops[static_cast<size_t>(Opcode::kGetattr)];
  EXPECT_EQ(op.latency.count(), 1U);
  EXPECT_EQ(session_->live_count(), 0U);
  EXPECT_EQ(kernel_->protocol_errors(), 0U);
}

TEST_F(SessionTest, UnknownOpcodesAreEnosysAndNeverReachTheHandler) {
  start();
  for (const uint32_t opcode : {99U, 48U, UINT32_MAX}) {
    const auto answer = kernel_->call(static_cast<Opcode>(opcode), kRootNode, proto::GetattrIn{});
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->error, ENOSYS);
  }
  EXPECT_EQ(session_->counters().unknown_opcodes.get(), 3U);
  EXPECT_EQ(handler_.handled(), 0U);
}

TEST_F(SessionTest, DestroyIsAnswered) {
  start();
  const auto answer = kernel_->await(kernel_->send(Opcode::kDestroy, NodeId(0), {}));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->error, 0);
}

TEST_F(SessionTest, BrokenBodiesAreEinvalAndBrokenHeadersAreSurvived) {
  start();
  const auto answer = kernel_->await(kernel_->send(Opcode::kRead, kRootNode, {}));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->error, EINVAL);
  const std::vector<std::byte> scrap(39);
  kernel_->send_raw(scrap);
  const proto::InHeader lying{.len = 4096, .opcode = 3, .unique = 2000};
  kernel_->send_raw(bytes_of(lying));
  EXPECT_TRUE(kernel_->await(ask()).has_value());
  EXPECT_TRUE(kernel_->await(ask()).has_value());
  // Two queues: all that was sent before the second of these has been taken by now or is about to.
  kernel_->unmount();
  EXPECT_TRUE(session_->wait(soon()));
  EXPECT_EQ(session_->counters().undecodable.get(), 3U);
}

TEST_F(SessionTest, GatheredPiecesArriveAsOneBody) {
  start();
  handler_.set_policy(Policy::kKeep);
  const uint64_t unique = ask();
  ASSERT_TRUE(handler_.wait_handled(1));
  std::string first(100'000, 'a');
  std::string second = "bc";
  const std::vector<iovec> pieces{{first.data(), first.size()}, {}, {second.data(), second.size()}};
  handler_.take_kept().at(0).gather(pieces);
  const auto answer = kernel_->await(unique);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->text(), first + second);
}

TEST_F(SessionTest, AnErrnoThatTheKernelWouldRefuseBecomesEio) {
  start();
  handler_.set_policy(Policy::kKeep);
  for (const int code : {0, -5, 512, 100'000}) {
    const uint64_t unique = ask();
    ASSERT_TRUE(handler_.wait_kept(1));
    handler_.take_kept().at(0).error(code);
    const auto answer = kernel_->await(unique);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->error, EIO);
  }
  EXPECT_EQ(kernel_->protocol_errors(), 0U);
}

TEST_F(SessionTest, ADroppedReplyAnswersEioAndIsCountedAsABug) {
  start();
  handler_.set_policy(Policy::kDrop);
  const auto answer = kernel_->await(ask());
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->error, EIO);
  EXPECT_EQ(session_->counters().dropped_replies.get(), 1U);
}

TEST_F(SessionTest, ForgetsReachTheHandlerAndTakeNoAnswer) {
  start();
  kernel_->forget(NodeId(9), 3);
  struct {
    proto::BatchForgetIn head{.count = 2, .dummy = 0};
    proto::ForgetOne ones[2] = {{5, 10}, {6, 20}};
  } batch;
  kernel_->send(Opcode::kBatchForget, NodeId(0), batch);
  EXPECT_TRUE(handler_.wait_forgotten(33));
  EXPECT_EQ(session_->live_count(), 0U);
  EXPECT_EQ(kernel_->protocol_errors(), 0U);
}

TEST_F(SessionTest, LiveRequestsAreListedOldestFirstUntilAnswered) {
  start();
  handler_.set_policy(Policy::kKeep);
  const uint64_t first = ask();
  ASSERT_TRUE(handler_.wait_handled(1));
  const uint64_t second = kernel_->send_name(Opcode::kLookup, NodeId(5), "x");
  ASSERT_TRUE(handler_.wait_handled(2));
  const std::vector<LiveRequest> live = session_->live();
  ASSERT_EQ(live.size(), 2U);
  EXPECT_EQ(live[0].unique, first);
  EXPECT_EQ(live[1].unique, second);
  EXPECT_EQ(live[1].opcode, Opcode::kLookup);
  EXPECT_EQ(live[1].node, NodeId(5));
  EXPECT_GE(live[0].age, live[1].age);
  handler_.take_kept();  // dropped, so answered
  EXPECT_EQ(session_->live_count(), 0U);
}

TEST_F(SessionTest, ResumeServesAtOnceAndAsksForAResend) {
  const Negotiated before = MUST(negotiate({.major = 7, .minor = 45, .flags = ~uint64_t{0}}, {}));
  session_.reset();  // which shuts its channel down
  kernel_ = FakeKernel::create(2);
  session_ = MUST(Session::resume(kernel_->channel(), handler_, {}, Clock::system(), before));
  EXPECT_EQ(handler_.starts(), 1U);
  session_->start();
  const auto notification = kernel_->await_notification();
  ASSERT_TRUE(notification.has_value());
  EXPECT_EQ(notification->code, proto::Notify::kResend);
  EXPECT_TRUE(kernel_->await(ask()).has_value());
}

// What the answer to INIT finds of the session as it goes out; all else goes on as it is.
class AnswerWatch final : public KernelChannel {
 public:
  explicit AnswerWatch(KernelChannel& inner) : inner_(inner) {}

  void watch(const Session& session) { session_ = &session; }
  [[nodiscard]] bool told_before_the_answer() const { return told_; }

  [[nodiscard]] unsigned queue_count() const override { return inner_.queue_count(); }
  Result<std::span<const std::byte>> receive(unsigned queue, std::span<std::byte> buffer) override {
    return inner_.receive(queue, buffer);
  }
  Result<void> send(unsigned queue, std::span<const iovec> message) override {
    if (session_->negotiated()) told_ = true;
    return inner_.send(queue, message);
  }
  Result<int32_t> backing_open(int fd) override { return inner_.backing_open(fd); }
  Result<void> backing_close(int32_t id) override { return inner_.backing_close(id); }
  void shutdown() override { inner_.shutdown(); }

 private:
  KernelChannel& inner_;
  const Session* session_ = nullptr;
  std::atomic<bool> told_ = false;
};

// As the kernel takes the answer it sets the readahead of the mount: who waits for INIT, to set
// another one, must not come before.
TEST_F(SessionTest, NobodyIsToldOfInitBeforeTheKernelHasItsAnswer) {
  session_.reset();
  kernel_ = FakeKernel::create(1);
  AnswerWatch channel(kernel_->channel());
  const auto session = MUST(Session::create(channel, handler_, {}, Clock::system()));
  channel.watch(*session);
  session->start();
  ASSERT_TRUE(kernel_->init().has_value());
  EXPECT_TRUE(session->wait_negotiated(soon()).has_value());
  EXPECT_FALSE(channel.told_before_the_answer());
}

}  // namespace
}  // namespace netfs::fuse
