#pragma once
// For tests: runs of a program with three locks, which know of each other by saved graphs alone.

#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "lockdep/saved_graph.h"
#include "lockdep/saved_graph_text.h"
#include "lockdep/test_support.h"

namespace netfs::lockdep {

// Two places of this program that make threads.
inline uintptr_t site(int which) {
  return reinterpret_cast<uintptr_t>(&site) + static_cast<uintptr_t>(which) + 1;
}

// One run of a program with three locks.
struct Process {
  explicit Process(int64_t process_id) : process(process_id) {}

  // What came from other runs, as a file would bring it.
  void seed(const std::string& text) {
    before = MUST(decode_saved_graph(text));
    world.validator.seed(before);
  }
  [[nodiscard]] std::string saved() {
    return encode(world.validator.save({.program = "server", .process = process, .time_ns = 1}));
  }
  // A new context, of the code at `made_at` (0: unknown), that takes `first` and `second` under it.
  Actor& does(const char* name, int made_at, const Instance& first, const Instance& second) {
    Actor& actor = context(name, made_at);
    actor.take(first).take(second).drop_all();
    return actor;
  }
  Actor& context(const char* name, int made_at) {
    actors.push_back(std::make_unique<Actor>(world, name));
    if (made_at != 0) world.validator.born(actors.back()->context, site(made_at));
    return *actors.back();
  }
  const Report& only_report() {
    EXPECT_EQ(world.reports.size(), 1U);
    static const Report kNone;
    return world.reports.empty() ? kNone : world.reports.front();
  }

  ClassKey key_a{"a"}, key_b{"b"}, key_c{"c"};
  Instance a{key_a}, b{key_b}, c{key_c};
  int64_t process;
  SavedGraph before;
  World world;
  std::vector<std::unique_ptr<Actor>> actors;
};

// A run in which a thread made at site 1 takes b under a, while another thread lives.
inline std::string first_half() {
  Process run(100);
  run.context("idle", 0);
  run.does("t1", 1, run.a, run.b);
  return run.saved();
}

}  // namespace netfs::lockdep
