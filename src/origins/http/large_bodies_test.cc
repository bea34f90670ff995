#include "origins/http/large_bodies.h"

#include <cerrno>
#include <gtest/gtest.h>
#include <optional>
#include <string>

#include "origins/http/call.h"
#include "sync/thread.h"

namespace netfs::origins::http {
namespace {

constexpr size_t kMost = 4 * kSmallBodyBytes;

class LargeAnswers : public testing::Test {
 protected:
  Ref<Call> begin(LargeBodies::Turn turn = {}) {
    Ref<Call> call =
        make_ref<Call>(TransferRequest{.method = Method::kGet, .url = "http://host/"},
                       Call::Options{.body_bytes_max = kMost, .large = &bodies_}, std::move(turn));
    EXPECT_TRUE(call->head(head()).ok());
    return call;
  }
  static ResponseHead head(const std::string& field = "") {
    ResponseHead head;
    head.add_line("HTTP/1.1 200 OK");
    if (!field.empty()) head.add_line(field);
    head.add_line("");
    return head;
  }
  Result<Transfer::Taken> send(Call& call, size_t count) {
    return call.body(std::as_bytes(std::span(bytes_).first(count)));
  }
  // As the engine does: what body() failed with ends it.
  static Result<Call::Answer> end(Call& call, Result<void> result = {}) {
    call.ended(std::move(result));
    return call.wait();
  }

  LargeBodies bodies_;
  const std::string bytes_ = std::string(kSmallBodyBytes, 'x');
};

TEST_F(LargeAnswers, OneMayBeLargeAndTheOthersAreGivenUpWhereTheyBecomeSo) {
  const Ref<Call> large = begin();
  const Ref<Call> other = begin();
  ASSERT_TRUE(send(*large, kSmallBodyBytes).ok());
  ASSERT_TRUE(send(*other, kSmallBodyBytes).ok()) << "as much as that everybody may hold";
  EXPECT_TRUE(send(*large, 1).ok());
  const Result<Transfer::Taken> refused = send(*other, 1);
  EXPECT_TRUE(refused.is_error(EBUSY));
  EXPECT_TRUE(send(*large, kSmallBodyBytes).ok());
  EXPECT_TRUE(end(*other, refused.error()).is_error(EBUSY));
  EXPECT_TRUE(other->lacked_turn());
  std::optional<Result<Call::Answer>> answer = end(*large);
  ASSERT_TRUE(answer->ok());
  EXPECT_FALSE(large->lacked_turn());
  EXPECT_EQ(answer->value().body.size(), 2 * kSmallBodyBytes + 1);
  EXPECT_FALSE(bodies_.try_take()) << "it is still held";
  answer.reset();
  EXPECT_TRUE(bodies_.try_take());
}

TEST_F(LargeAnswers, OneThatSaysThatItIsLargeIsGivenUpBeforeItComes) {
  LargeBodies::Turn turn = bodies_.try_take();
  ASSERT_TRUE(turn);
  const std::string length = "Content-Length: " + std::to_string(kSmallBodyBytes + 1);
  const Ref<Call> call = begin();
  EXPECT_TRUE(call->head(head(length)).is_error(EBUSY));
  const Ref<Call> with_turn = begin(std::move(turn));
  EXPECT_TRUE(with_turn->head(head(length)).ok());
}

// Whoever holds on to it: the engine does so for a moment.
TEST_F(LargeAnswers, OneThatFailsLeavesItsTurnToOthers) {
  const Ref<Call> call = begin();
  ASSERT_TRUE(send(*call, kSmallBodyBytes).ok());
  ASSERT_TRUE(send(*call, 1).ok());
  EXPECT_TRUE(end(*call, Error(ECONNRESET, "test")).is_error(ECONNRESET));
  EXPECT_TRUE(bodies_.try_take());
}

TEST_F(LargeAnswers, MoreThanIsTakenIsTooLongWithATurnAsWell) {
  const Ref<Call> call = begin();
  for (size_t sent = 0; sent < kMost; sent += kSmallBodyBytes) {
    ASSERT_TRUE(send(*call, kSmallBodyBytes).ok());
  }
  EXPECT_TRUE(send(*call, 1).is_error(EFBIG));
}

TEST_F(LargeAnswers, WhoWaitsForTheTurnHasItNextOrHearsAtHisDeadlineThatHeHasNot) {
  std::optional<LargeBodies::Turn> turn = bodies_.try_take();
  EXPECT_TRUE(bodies_.take(Deadline::within(std::chrono::milliseconds(5))).is_error(ETIMEDOUT));
  bool had_it = false;
  {
    sync::Thread waiter("test-waiter", [&] {
      had_it = bodies_.take(Deadline::within(std::chrono::seconds(60))).ok();
    });
    turn.reset();
    waiter.join();
  }
  EXPECT_TRUE(had_it);
  EXPECT_TRUE(bodies_.take(Deadline::within(std::chrono::seconds(60))).ok());
}

}  // namespace
}  // namespace netfs::origins::http
