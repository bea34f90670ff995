#include "lockdep/finding.h"

#include "lockdep/arena.h"

namespace netfs::lockdep {

namespace {

class Maker {
 public:
  Maker(Report& report, const StackDepot& stacks) : report_(report), stacks_(stacks) {}

  [[nodiscard]] Stack stack(uint32_t id) const {
    const KeptStack* kept = stacks_.get(id);
    return kept == nullptr ? Stack() : Stack(kept->frames, kept->frames + kept->count);
  }
  uint32_t index_of(const ClassView& view) {
    for (uint32_t i = 0; i < ids_.size(); ++i) {
      if (ids_[i] == view.id) return i;
    }
    ids_.push_back(view.id);
    report_.classes.push_back({.name = view.name == nullptr ? "" : view.name,
                               .version = view.version,
                               .subclass = view.subclass,
                               .usage = view.usage,
                               .wait_outer = view.wait_outer,
                               .wait_inner = view.wait_inner});
    return static_cast<uint32_t>(ids_.size() - 1);
  }
  ReportedLock lock(const FoundLock& found) {
    ReportedLock lock{.class_index = index_of(found.lock_class),
                      .address = found.address,
                      .mode = found.mode,
                      .trylock = found.trylock,
                      .sync = found.sync,
                      .stack = stack(found.stack)};
    if (lock.stack.empty() && found.ip != 0) lock.stack.push_back(found.ip);
    return lock;
  }
  static ReportedContext context(const FoundContext& found) {
    return {.name = found.name == nullptr ? "" : found.name,
            .id = found.id,
            .is_thread = found.is_thread};
  }

 private:
  Report& report_;
  const StackDepot& stacks_;
  std::vector<uint32_t> ids_;
};

}  // namespace

Report make_report(const Finding& finding, const StackDepot& stacks) {
  Report report;
  Maker maker(report, stacks);
  report.kind = finding.kind;
  report.verdict = finding.verdict;
  report.reason = finding.reason.c_str();
  report.joined = finding.joined;
  report.context = Maker::context(finding.context);
  report.taking = maker.lock(finding.taking);
  if (finding.holding.lock_class.name != nullptr) report.holding = maker.lock(finding.holding);
  if (finding.holder.name != nullptr) report.holder = Maker::context(finding.holder);
  for (uint32_t i = 0; i < finding.chain.count; ++i) {
    const FoundEdge& found = finding.chain.items[i];
    ReportedEdge edge{.from = maker.lock(found.from),
                      .to = maker.lock(found.to),
                      .context = Maker::context(found.context),
                      .time_ns = found.time_ns,
                      .declared = found.declared,
                      .run = found.run == nullptr ? "" : found.run,
                      .gates = {}};
    for (uint32_t g = 0; g < found.gates.count; ++g) {
      edge.gates.push_back(maker.lock(found.gates.items[g]));
    }
    report.chain.push_back(std::move(edge));
  }
  for (uint32_t i = 0; i < finding.held.count; ++i) {
    report.held.push_back(maker.lock(finding.held.items[i]));
  }
  for (uint32_t i = 0; i < finding.waiting.count; ++i) {
    report.waiting.push_back(Maker::context(finding.waiting.items[i]));
  }
  report.stack = maker.stack(finding.stack);
  report.signal = finding.signal;
  report.old_state = finding.old_state.c_str();
  report.new_state = finding.new_state.c_str();
  report.old_state_stack = maker.stack(finding.old_state_stack);
  report.unsafe_state_stack = maker.stack(finding.unsafe_state_stack);
  if (finding.safe_class.name != nullptr) report.safe_class = maker.index_of(finding.safe_class);
  if (finding.unsafe_class.name != nullptr) {
    report.unsafe_class = maker.index_of(finding.unsafe_class);
  }
  if (finding.compared) report.compare_result = finding.compare_result;
  report.freed_from = finding.freed_from;
  report.freed_to = finding.freed_to;
  report.context_wait = finding.context_wait;
  report.message = finding.message.c_str();
  return report;
}

void free_finding(Arena& arena, Finding* finding) {
  for (uint32_t i = 0; i < finding->chain.count; ++i) {
    const FoundList<FoundLock>& gates = finding->chain.items[i].gates;
    arena.release(gates.items, gates.room * sizeof(FoundLock));
  }
  arena.release(finding->chain.items, finding->chain.room * sizeof(FoundEdge));
  arena.release(finding->held.items, finding->held.room * sizeof(FoundLock));
  arena.release(finding->waiting.items, finding->waiting.room * sizeof(FoundContext));
  arena.release(finding, sizeof(Finding));
}

}  // namespace netfs::lockdep
