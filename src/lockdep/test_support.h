#pragma once
// For tests of the validator: one that keeps its reports, locks without anything behind them, and
// contexts that a single thread drives in turn.
//
//   World world;
//   Actor t1(world, "t1");
//   t1.take(a).take(b).drop_all();
//   EXPECT_THAT(world.verdicts(ReportKind::kCircular), ElementsAre(Verdict::kLikely));

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "lockdep/validator.h"

namespace netfs::lockdep {

class World {
 public:
  World() : World(Validator::Match::kByClass) {}
  explicit World(Validator::Match match) {
    validator.configure(
        {.sink = [](void* self,
                    const Report& report) { static_cast<World*>(self)->reports.push_back(report); },
         .sink_user = this,
         .match = match});
  }

  [[nodiscard]] std::vector<Verdict> verdicts(ReportKind kind) const {
    std::vector<Verdict> found;
    for (const Report& report : reports) {
      if (report.kind == kind) found.push_back(report.verdict);
    }
    return found;
  }
  [[nodiscard]] size_t count(ReportKind kind) const { return verdicts(kind).size(); }
  // Reports that are errors.
  [[nodiscard]] size_t errors() const {
    return static_cast<size_t>(std::count_if(reports.begin(), reports.end(), [](const Report& r) {
      return r.verdict != Verdict::kOrderOnly;
    }));
  }
  [[nodiscard]] bool has_edge(const char* from, const char* to) {
    std::vector<ClassInfo> classes = validator.classes();
    const auto name = [&classes](uint32_t id) {
      for (const ClassInfo& info : classes) {
        if (info.id == id) return info.name;
      }
      return std::string();
    };
    for (const EdgeInfo& edge : validator.edges()) {
      if (name(edge.from) == from && name(edge.to) == to) return true;
    }
    return false;
  }

  std::vector<Report> reports;
  Validator validator;
};

// A context and what it holds; addresses are made up, so that reports can be told apart.
class Actor {
 public:
  Actor(World& world, const char* name) : world_(world), context(world.validator, name) {}
  ~Actor() { drop_all(); }

  Actor& take(const Instance& lock, const How& how, uintptr_t ip = 0x1000) {
    world_.validator.acquire(context, lock, how, ip);
    held_.push_back(&lock);
    return *this;
  }
  Actor& take(const Instance& lock) { return take(lock, How()); }
  Actor& read(const Instance& lock) { return take(lock, {.mode = Mode::kRead}); }
  Actor& read_again(const Instance& lock) { return take(lock, {.mode = Mode::kRecursiveRead}); }
  Actor& try_take(const Instance& lock) { return take(lock, {.attempt = Attempt::kTry}); }
  Actor& drop(const Instance& lock) {
    const auto at = std::find(held_.rbegin(), held_.rend(), &lock);
    if (at != held_.rend()) held_.erase(std::next(at).base());
    world_.validator.release(context, lock, 0x2000);
    return *this;
  }
  Actor& drop_all() {
    while (!held_.empty()) drop(*held_.back());
    return *this;
  }

 private:
  World& world_;
  std::vector<const Instance*> held_;

 public:
  Context context;
};

// The seed of a random test: from NETFS_TEST_SEED, or new; printed.
inline uint64_t test_seed(const char* test) {
  const char* given = std::getenv("NETFS_TEST_SEED");
  const uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  std::printf("%s: NETFS_TEST_SEED=%llu\n", test, static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace netfs::lockdep
