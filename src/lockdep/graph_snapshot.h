#pragma once
// GraphSnapshot: the dependency graph at one moment, as plain data.  Owns all it says.
//
// Edges name classes by index; one for each ordered pair at most.  An edge is one kind or several,
// by how both ends were taken:
//
//            to a recursive reader   to any other
//   from a reader        SR              SN
//   from a writer        ER              EN

#include <cstdint>
#include <string>
#include <vector>

#include "lockdep/report.h"

namespace netfs::lockdep {

class Validator;

struct GraphClass {
  ReportedClass identity;
  uint64_t acquired_count = 0;  // how often it was taken; 0 where nobody counts
};

struct GraphEdge {
  static constexpr uint8_t kSR = 1;
  static constexpr uint8_t kER = 2;
  static constexpr uint8_t kSN = 4;
  static constexpr uint8_t kEN = 8;

  uint32_t from = 0;
  uint32_t to = 0;
  uint8_t kinds = 0;        // any of the above
  bool declared = false;    // nobody did it yet
  uint64_t seen_count = 0;  // how often it was met; 0 where nobody counts
};

struct GraphSnapshot {
  std::vector<GraphClass> classes;
  std::vector<GraphEdge> edges;
};

// What a validator has learnt so far, declared orders included.  Nobody counts there.
[[nodiscard]] GraphSnapshot take_snapshot(Validator& validator);

}  // namespace netfs::lockdep
