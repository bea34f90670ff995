// Races between requests, interrupts, lost answers, unmount and stop, with the pretended kernel.

#include <atomic>
#include <gtest/gtest.h>
#include <vector>

#include "fuse/session_test_handler.h"
#include "sync/thread.h"

namespace netfs::fuse {
namespace {

using Policy = TestHandler::Policy;

TEST_F(SessionTest, AnInterruptReachesTheHandlerOfAKeptRequest) {
  start();
  handler_.set_policy(Policy::kKeep);
  handler_.answer_interrupts();
  const uint64_t unique = ask();
  ASSERT_TRUE(handler_.wait_handled(1));
  kernel_->interrupt(unique);
  const auto answer = kernel_->await(unique);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->error, EINTR);
  EXPECT_EQ(session_->counters().interrupts.get(), 1U);
}

TEST_F(SessionTest, AnInterruptIsRememberedForWhoListsItsRequestLater) {
  start();
  handler_.set_policy(Policy::kKeep);
  const uint64_t first = ask();
  const uint64_t second = ask();
  ASSERT_TRUE(handler_.wait_handled(2));
  kernel_->interrupt(first);
  ASSERT_TRUE(handler_.wait_interrupts(1));
  for (Reply& reply : handler_.take_kept()) {
    EXPECT_EQ(reply.interrupted(), reply.unique() == first);
    reply.error(EINTR);
  }
  EXPECT_TRUE(kernel_->await(second).has_value());
}

// The kernel then tells it again, unless the answer is on its way.
TEST_F(SessionTest, AnInterruptForWhatIsNotListedIsAskedForAgainAndNotGivenToTheHandler) {
  start();
  const uint64_t unique = ask();
  ASSERT_TRUE(kernel_->await(unique).has_value());
  kernel_->interrupt(unique);
  kernel_->interrupt(4000);
  EXPECT_TRUE(kernel_->await_postponed(2));
  EXPECT_EQ(session_->counters().interrupts.get(), 2U);
  EXPECT_FALSE(handler_.interrupt_seen());
}

TEST_F(SessionTest, AnAnswerThatTheKernelNoLongerWantsIsNoFailure) {
  start();
  handler_.set_policy(Policy::kKeep);
  ask();
  ASSERT_TRUE(handler_.wait_handled(1));
  kernel_->refuse_replies(1);
  for (Reply& reply : handler_.take_kept()) reply.ok();
  EXPECT_EQ(session_->counters().interrupted_away.get(), 1U);
  EXPECT_EQ(session_->counters().send_failures.get(), 0U);
  EXPECT_EQ(session_->live_count(), 0U);
}

TEST_F(SessionTest, UnmountWhileAnswersArePendingEndsTheThreadsAndHurtsNobody) {
  start();
  handler_.set_policy(Policy::kKeep);
  ask();
  ask();
  ASSERT_TRUE(handler_.wait_handled(2));
  kernel_->unmount();
  EXPECT_TRUE(session_->wait(soon()));
  for (Reply& reply : handler_.take_kept()) reply.ok();
  EXPECT_EQ(session_->counters().send_failures.get(), 2U);
  session_->stop(soon());
  EXPECT_EQ(session_->live_count(), 0U);
}

TEST_F(SessionTest, StopAnswersWhatTheHandlerKeepsAndItsReplyIsVoidThen) {
  start();
  handler_.set_policy(Policy::kKeep);
  const uint64_t unique = ask();
  ASSERT_TRUE(handler_.wait_handled(1));
  session_->stop(Deadline{MonoTime{}});
  const auto answer = kernel_->await(unique);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->error, ECONNABORTED);
  for (Reply& reply : handler_.take_kept()) reply.ok();
  EXPECT_EQ(count(Opcode::kGetattr).failed.get(), 1U);
  EXPECT_EQ(count(Opcode::kGetattr).done.get(), 0U);
  EXPECT_EQ(kernel_->protocol_errors(), 0U);
  session_->stop(soon());
}

TEST_F(SessionTest, StopLetsWorkersAnswerWithinItsGrace) {
  start();
  handler_.set_policy(Policy::kKeep);
  const uint64_t unique = ask();
  ASSERT_TRUE(handler_.wait_handled(1));
  std::vector<Reply> kept = handler_.take_kept();
  sync::Thread worker("worker", [&] {
    // After the reading threads have ended, so stop() is waiting or about to.
    EXPECT_TRUE(session_->wait(soon()));
    kept.at(0).value(attr_out({.ino = 1}, kForever));
  });
  session_->stop(soon());
  const auto answer = kernel_->await(unique);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->error, 0);
}

TEST_F(SessionTest, AStopBeforeStartStartsNothing) {
  session_->stop(soon());
  session_->start();
  EXPECT_TRUE(session_->wait(soon()));
}

TEST_F(SessionTest, AForgetStormAmongRequestsLosesNothing) {
  start();
  constexpr unsigned kRounds = 2000;
  for (unsigned i = 0; i < kRounds; ++i) {
    kernel_->forget(NodeId(i + 2), 2);
    if (i % 10 != 0) continue;
    ASSERT_TRUE(kernel_->await(ask()).has_value());
  }
  EXPECT_TRUE(handler_.wait_forgotten(2 * kRounds));
  session_->stop(soon());
  EXPECT_EQ(count(Opcode::kForget).done.get(), kRounds);
  EXPECT_EQ(kernel_->protocol_errors(), 0U);
}

// More requests than the table of live ones holds: the rest is unlisted, and answered all the same.
TEST_F(SessionTest, RequestsBeyondTheLiveTableAreAnsweredToo) {
  start();
  handler_.set_policy(Policy::kKeep);
  constexpr unsigned kMany = 1500;
  std::vector<uint64_t> uniques;
  for (unsigned i = 0; i < kMany; ++i) uniques.push_back(ask());
  ASSERT_TRUE(handler_.wait_handled(kMany));
  EXPECT_EQ(session_->live_count(), kMany);
  EXPECT_GT(session_->counters().unlisted.get(), 0U);
  kernel_->interrupt(uniques.back());
  ASSERT_TRUE(handler_.wait_interrupts(1));
  for (Reply& reply : handler_.take_kept()) reply.ok();
  for (const uint64_t unique : uniques) ASSERT_TRUE(kernel_->await(unique).has_value());
  EXPECT_EQ(session_->live_count(), 0U);
}

// Requests, their interrupts, workers that answer them and the end of it all, at once.
TEST_F(SessionTest, RacingInterruptsAnswersAndStopGiveEachRequestOneAnswer) {
  start();
  handler_.set_policy(Policy::kKeep);
  handler_.answer_interrupts();
  constexpr unsigned kRounds = 3000;
  std::vector<uint64_t> uniques;
  {
    std::atomic<bool> over{false};
    sync::Thread worker("worker", [&] {
      while (!over.load()) {
        for (Reply& reply : handler_.take_kept()) reply.ok();
      }
    });
    for (unsigned i = 0; i < kRounds; ++i) {
      uniques.push_back(ask());
      kernel_->interrupt(uniques.back());
    }
    ASSERT_TRUE(handler_.wait_handled(kRounds / 2));
    session_->stop(soon());
    over.store(true);
  }
  // Those that were read got one answer; the others still lie in the kernel's queue.
  const uint64_t issued = count(Opcode::kGetattr).issued.get();
  unsigned answered = 0;
  kernel_->settle();
  for (const uint64_t unique : uniques) answered += kernel_->answered(unique) ? 1 : 0;
  EXPECT_EQ(answered, issued);
  EXPECT_EQ(count(Opcode::kGetattr).done.get() + count(Opcode::kGetattr).failed.get(), issued);
  EXPECT_EQ(kernel_->protocol_errors(), 0U);
}

}  // namespace
}  // namespace netfs::fuse
