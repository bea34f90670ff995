#pragma once
// For session tests: a handler that answers at once, keeps, or drops, and remembers what it saw.

#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "fuse/fake_kernel.h"
#include "fuse/lock_classes.h"
#include "fuse/session.h"
#include "sync/cond_var.h"
#include "sync/context.h"
#include "sync/mutex.h"

namespace netfs::fuse {

inline constinit sync::LockClass kTestHandlerLock{"test.fuse_handler"};

inline Deadline soon() {
  return Deadline::after(Clock::system(), FakeKernel::kPatience);
}

class TestHandler final : public Handler {
 public:
  enum class Policy { kAnswer, kKeep, kDrop };

  void started(const Negotiated& negotiated) override {
    sync::MutexLock lock(mutex_);
    ++starts_;
    negotiated_ = negotiated;
  }

  void handle(const Request& request, Reply reply) override {
    EXPECT_TRUE(sync::current_context_holds(sync::kFuseFault));
    Policy policy{};
    {
      sync::MutexLock lock(mutex_);
      policy = policy_;
      ++handled_;
      if (const auto* forget = std::get_if<ForgetRequest>(&request.body)) {
        forgotten_ += forget->lookups;
      } else if (const auto* batch = std::get_if<BatchForgetRequest>(&request.body)) {
        for (uint32_t i = 0; i < batch->count; ++i) forgotten_ += batch->at(i).lookups;
      }
      if (policy == Policy::kKeep && reply) {
        const uint64_t unique = reply.unique();
        kept_.emplace(unique, std::move(reply));
      }
      changed_.notify_all();
    }
    if (!reply || policy == Policy::kDrop) return;
    if (std::holds_alternative<GetattrRequest>(request.body)) {
      reply.value(attr_out({.ino = request.header.node.value}, kForever));
    } else {
      reply.error(ENOENT);
    }
  }

  void interrupt(uint64_t unique) override {
    Reply reply;
    {
      sync::MutexLock lock(mutex_);
      interrupted_.push_back(unique);
      const auto found = kept_.find(unique);
      if (answer_interrupts_ && found != kept_.end()) {
        reply = std::move(found->second);
        kept_.erase(found);
      }
      changed_.notify_all();
    }
    if (reply) reply.error(EINTR);
  }

  void set_policy(Policy policy) {
    sync::MutexLock lock(mutex_);
    policy_ = policy;
  }
  void answer_interrupts() {
    sync::MutexLock lock(mutex_);
    answer_interrupts_ = true;
  }
  bool wait_handled(unsigned count) {
    return wait_for([&]() REQUIRES(mutex_) { return handled_ >= count; });
  }
  bool wait_kept(size_t count) {
    return wait_for([&]() REQUIRES(mutex_) { return kept_.size() >= count; });
  }
  bool wait_interrupts(size_t count) {
    return wait_for([&]() REQUIRES(mutex_) { return interrupted_.size() >= count; });
  }
  bool wait_forgotten(uint64_t lookups) {
    return wait_for([&]() REQUIRES(mutex_) { return forgotten_ >= lookups; });
  }
  // All that were kept, to be answered by the test.
  std::vector<Reply> take_kept() {
    std::vector<Reply> out;
    sync::MutexLock lock(mutex_);
    for (auto& [unique, reply] : kept_) out.push_back(std::move(reply));
    kept_.clear();
    return out;
  }
  [[nodiscard]] unsigned starts() const {
    sync::MutexLock lock(mutex_);
    return starts_;
  }
  [[nodiscard]] bool interrupt_seen() const {
    sync::MutexLock lock(mutex_);
    return !interrupted_.empty();
  }
  [[nodiscard]] unsigned handled() const {
    sync::MutexLock lock(mutex_);
    return handled_;
  }

 private:
  template <class Condition>
  bool wait_for(Condition condition) {
    const Deadline deadline = soon();
    sync::MutexLock lock(mutex_);
    while (!condition()) {
      if (!changed_.wait_until(mutex_, deadline.at)) return condition();
    }
    return true;
  }

  mutable sync::Mutex mutex_{kTestHandlerLock};
  sync::CondVar changed_;
  Policy policy_ GUARDED_BY(mutex_) = Policy::kAnswer;
  bool answer_interrupts_ GUARDED_BY(mutex_) = false;
  unsigned starts_ GUARDED_BY(mutex_) = 0;
  unsigned handled_ GUARDED_BY(mutex_) = 0;
  uint64_t forgotten_ GUARDED_BY(mutex_) = 0;
  Negotiated negotiated_ GUARDED_BY(mutex_);
  std::vector<uint64_t> interrupted_ GUARDED_BY(mutex_);
  std::map<uint64_t, Reply> kept_ GUARDED_BY(mutex_);
};

// A fixture: kernel, handler and a session that has not started.
class SessionTest : public testing::Test {
 protected:
  explicit SessionTest(unsigned queues = 2)
      : kernel_(FakeKernel::create(queues)),
        session_(MUST(Session::create(kernel_->channel(), handler_, {}, Clock::system()))) {}
  ~SessionTest() override { handler_.take_kept(); }

  void start() {
    session_->start();
    ASSERT_TRUE(kernel_->init().has_value());
  }
  uint64_t ask() { return kernel_->send(Opcode::kGetattr, kRootNode, proto::GetattrIn{}); }
  const telemetry::Triplet& count(Opcode opcode) const {
    return session_->counters().ops[static_cast<size_t>(opcode)].count;
  }

  TestHandler handler_;
  std::unique_ptr<FakeKernel> kernel_;
  std::unique_ptr<Session> session_;
};

}  // namespace netfs::fuse
