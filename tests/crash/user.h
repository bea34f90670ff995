#pragma once
// User: a thread that uses a mount for as long as a test lets it, and keeps what went wrong first.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "base/clock.h"
#include "sync/thread.h"

namespace netfs::test {

// What a user does until he is told to stop; an empty string: nothing was wrong.
class User {
 public:
  using Work = std::function<std::string(std::mt19937_64& random)>;
  User(const char* name, uint64_t seed, Work work)
      : name_(name),
        thread_(std::make_unique<sync::Thread>(name, [this, seed, work = std::move(work)] {
          std::mt19937_64 random(seed);
          while (!stop_ && wrong_.empty()) {
            const MonoTime began = Clock::system().now();
            wrong_ = work(random);
            longest_ = std::max(longest_.load(), Clock::system().now() - began);
            ++rounds_;
          }
          ended_ = true;
        })) {}
  ~User() { stop(); }
  void stop() {
    stop_ = true;
    thread_.reset();
  }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] uint64_t rounds() const { return rounds_; }
  // What was wrong; once it has ended.
  [[nodiscard]] const std::string& wrong() const { return wrong_; }
  // Once it was stopped.
  void expect_fine() {
    stop();
    EXPECT_EQ(wrong_, "") << name_ << ", round " << rounds_;
    EXPECT_GT(rounds_, 0U) << name_;
    std::printf("%s: %lu rounds, the longest took %ld ms\n", name_.c_str(),
                static_cast<unsigned long>(rounds_.load()),
                static_cast<long>(longest_.load() / std::chrono::milliseconds(1)));
  }

 private:
  const std::string name_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> ended_{false};
  std::atomic<uint64_t> rounds_{0};
  std::atomic<Duration> longest_{Duration(0)};
  std::string wrong_;
  std::unique_ptr<sync::Thread> thread_;
};

inline std::string failed(const std::string& what, int error) {
  return what + ": " + strerror(error);
}

}  // namespace netfs::test
