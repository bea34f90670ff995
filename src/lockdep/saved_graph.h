#pragma once
// SavedGraph: what a validator learnt, in words that outlive its process, so that halves of an
// inversion that different runs or processes did can be put together.
//
// A class has a stable identity: what its key says (ClassKey::Rules::identity), else its name.
// Code has a build-id and an offset.  Everything refers to others by index.  Numbers of locks,
// contexts and segments mean something within one run only.
//
//   SavedGraph graph = process().save({.program = "server", .process = getpid(), ...});
//   TRY(write_saved_graph("locks.graph", graph));                       // saved_graph_file.h
//
//   const SavedGraph before = TRY(read_saved_graph("locks.graph"));
//   process().seed(before);               // from here on, `before` must stay
//
// Limits: an edge has at most kWitnessesMax witnesses.

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "lockdep/report.h"

namespace netfs::lockdep {

struct SavedRun {
  std::string program;
  int64_t process = 0;
  int64_t time_ns = 0;  // when it began, or was saved: tells runs apart
  bool operator==(const SavedRun&) const = default;
};

// The address that stands for a place of a seeded graph in the stacks of reports: no program has
// its code there.
inline constexpr uintptr_t kSavedPlace = uintptr_t{1} << 63;

struct SavedGraph {
  static constexpr size_t kWitnessesMax = 4;
  static constexpr uint32_t kNone = UINT32_MAX;  // no stack, no lock set, no segment before

  struct Module {
    std::string build_id;  // hexadecimal; may be empty
    std::string path;
    bool operator==(const Module&) const = default;
  };
  // A return address.
  struct Place {
    uint32_t module = 0;
    uint64_t offset = 0;  // as the module's own tables count
    bool operator==(const Place&) const = default;
  };
  struct Class {
    std::string identity;
    std::string name;
    uint8_t subclass = 0;
    uint8_t wait_outer = 0;
    uint8_t wait_inner = 0;
    bool one_lock = false;  // see Locks
  };
  using Run = SavedRun;
  struct Context {
    uint32_t run = 0;
    std::string name;
    uint64_t id = 0;
    bool is_thread = true;
    uint64_t role = 0;   // the same for contexts that the same code makes, in all runs
    bool twins = false;  // several of the role lived at once
  };
  // A time of one context: after `before` (of itself) and `observed` (of another); see segments.h.
  struct Segment {
    uint32_t before = kNone;  // an index less than the segment's own
    uint32_t observed = kNone;
  };
  struct Gate {
    uint64_t number = 0;
    uint32_t lock_class = 0;
    uint32_t owner = 0;  // context
    uint32_t stack = kNone;
    Mode mode = Mode::kWrite;
    bool trylock = false;
  };
  struct End {
    uint64_t number = 0;
    uint32_t stack = kNone;
    Mode mode = Mode::kWrite;
    uint8_t attempt = 0;  // Attempt
    bool sync = false;
  };
  struct Witness {
    End from;
    End to;
    uint32_t context = 0;
    uint32_t segment = 0;
    uint32_t held = kNone;  // lock set
    int64_t time_ns = 0;
    bool alone = false;  // no other context lived
  };
  struct Edge {
    uint32_t from = 0;
    uint32_t to = 0;
    std::vector<Witness> witnesses;
  };

  std::vector<Module> modules;
  std::vector<Place> places;
  std::vector<std::vector<uint32_t>> stacks;  // of places, innermost first
  std::vector<Class> classes;
  std::vector<Run> runs;
  std::vector<Context> contexts;
  std::vector<Segment> segments;
  std::vector<std::vector<Gate>> lock_sets;  // outermost first
  std::vector<Edge> edges;
};

// Puts graphs together: classes of one identity become one, their dependencies with them.  Of
// witnesses that say the same to a verdict one is kept, so that what many runs did does not grow.
// A run that is in there already is not added again.  Not thread-safe.
//
//   SavedGraphMerger merger;
//   merger.add(first);
//   merger.add(second);
//   const SavedGraph all = merger.take();
class SavedGraphMerger {
 public:
  void add(const SavedGraph& graph);
  [[nodiscard]] SavedGraph take() { return std::move(all_); }

 private:
  struct Maps;
  uint32_t keep_class(const SavedGraph& graph, uint32_t index, Maps& maps);
  uint32_t keep_module(const SavedGraph::Module& module);
  uint32_t keep_place(const SavedGraph& graph, uint32_t index, Maps& maps);
  uint32_t keep_stack(const SavedGraph& graph, uint32_t index, Maps& maps);
  uint32_t keep_run(const SavedGraph::Run& run);
  uint32_t keep_context(const SavedGraph& graph, uint32_t index, Maps& maps);
  void keep_segments(const SavedGraph& graph, Maps& maps);
  uint32_t keep_lock_set(const SavedGraph& graph, uint32_t index, Maps& maps);
  void keep_witness(const SavedGraph& graph, const SavedGraph::Witness& witness,
                    SavedGraph::Edge& edge, Maps& maps);
  [[nodiscard]] bool says_the_same(const SavedGraph& graph, const SavedGraph::Witness& theirs,
                                   const SavedGraph::Witness& ours, Maps& maps);
  [[nodiscard]] bool same_gates(const SavedGraph& graph, uint32_t theirs, uint32_t ours,
                                Maps& maps);

  SavedGraph all_;
  std::unordered_map<std::string, uint32_t> classes_;  // by identity and subclass
  std::unordered_map<std::string, uint32_t> modules_;
  std::unordered_map<uint64_t, uint32_t> edges_;   // by both ends
  std::unordered_map<uint64_t, uint32_t> places_;  // by module and offset, hashed
  std::unordered_map<std::string, uint32_t> stacks_;
};

}  // namespace netfs::lockdep
