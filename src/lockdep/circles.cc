// A new dependency closes a circle of classes (check_noncircular), and what becomes of its verdict.
//
// Each circle of classes is reported once, and again only if its verdict rises.  Of the circles
// that a dependency closes the shortest is reported; if it is ORDER-ONLY others are looked for,
// each without one of its edges.  ORDER-ONLY circles stay open: the classes taken in them are
// watched, which means that any new context, segment or set of locks that takes one is looked at
// again, even if the chain of classes is known, for at most a budget of times; a new witness then
// has the circle judged again.

#include <algorithm>
#include <utility>

#include "lockdep/hash.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

size_t bytes(uint32_t count) {
  return sizeof(Circle) + count * sizeof(uint32_t);
}

bool contains(const Circle& circle, uint32_t edge) {
  return std::find(circle.edges, circle.edges + circle.count, edge) != circle.edges + circle.count;
}

}  // namespace

// The circle of `edge` and the path that was found; null when it is known, or without memory.
Circle* State::new_circle(uint32_t edge) {
  const auto count = static_cast<uint32_t>(learnt.graph.path_length() + 1);
  auto* circle = static_cast<Circle*>(arena.allocate(bytes(count)));
  if (circle == nullptr) return nullptr;
  circle->count = count;
  circle->edges[0] = edge;
  for (uint32_t i = 1; i < count; ++i) circle->edges[i] = learnt.graph.path(i - 1);
  const auto serial = [this, circle](uint32_t i) {
    return learnt.graph.edge(circle->edges[i % circle->count]).serial;
  };
  uint32_t least = 0;
  for (uint32_t i = 1; i < count; ++i) {
    if (serial(i) < serial(least)) least = i;
  }
  circle->hash = count;
  for (uint32_t i = 0; i < count; ++i) circle->hash = mix(circle->hash, serial(least + i));
  if (learnt.circles.find(circle->hash) != 0) {
    arena.release(circle, bytes(count));
    return nullptr;
  }
  return circle;
}

void State::close_circles(uint32_t edge, Acquisition* a, Mode held, Mode taken) {
  const uint32_t from = learnt.graph.edge(edge).from;
  const uint32_t to = learnt.graph.edge(edge).to;
  const auto closes = [from, held](uint32_t node, bool recursive) {
    return node == from && (held == Mode::kWrite || !recursive);
  };
  if (!learnt.graph.search(arena, to, taken, 0, closes)) return;
  constexpr uint32_t kAlternatives = 16;
  uint32_t others[kAlternatives];
  const auto count =
      static_cast<uint32_t>(std::min<size_t>(learnt.graph.path_length(), kAlternatives));
  for (uint32_t i = 0; i < count; ++i) others[i] = learnt.graph.path(i);
  Circle* circle = new_circle(edge);
  if (circle == nullptr || report_circle(*circle, edge, a) != Verdict::kOrderOnly) return;
  for (uint32_t i = 0; i < count; ++i) {
    if (!learnt.graph.search(arena, to, taken, others[i], closes)) continue;
    circle = new_circle(edge);
    if (circle != nullptr && report_circle(*circle, edge, a) != Verdict::kOrderOnly) return;
  }
}

Judge State::judge() {
  return {.graph = learnt.graph,
          .segments = learnt.segments,
          .match = validator.options_.match,
          .name_of =
              [](const void* user, uint32_t class_id) {
                return static_cast<const State*>(user)->learnt.classes[class_id].name;
              },
          .one_lock =
              [](const void* user, uint32_t class_id) {
                return static_cast<const State*>(user)->learnt.classes[class_id].one_lock;
              },
          .user = this};
}

// Takes the circle over: keeps it open, or frees it.
Verdict State::report_circle(Circle& circle, uint32_t edge, Acquisition* a) {
  const Judge judge = this->judge();
  Judgement judgement;
  judge.judge(circle.edges, circle.count, judgement);
  FoundList<FoundContext> waiting{};
  if (a != nullptr && a->how.attempt == Attempt::kBlocking) {
    const SpinGuard guard(registry);
    const Adopt* const before = std::exchange(a->context.standing_, a->context.adopted_);
    if (waits_in_circle(a->context, a->instance, a->how.mode)) {
      waiting = list_waiting(a->context);
      judgement.verdict = Verdict::kProved;
      judgement.reason.clear();
      judgement.reason << "the contexts wait for each other now";
    }
    a->context.standing_ = before;
  }
  const Verdict verdict = judgement.verdict;
  circle.verdict = verdict;
  (void)learnt.circles.set(arena, circle.hash, static_cast<uint32_t>(verdict) + 1);
  for (uint32_t i = 0; i < circle.count; ++i) learnt.graph.edge(circle.edges[i]).in_circle = true;
  emit_circle(circle, edge, judgement, waiting, a);
  if (verdict == Verdict::kOrderOnly) {
    open_circle(circle);
  } else {
    arena.release(&circle, bytes(circle.count));
  }
  return verdict;
}

void State::open_circle(Circle& circle) {
  circle.next = learnt.open;
  learnt.open = &circle;
  for (uint32_t i = 0; i < circle.count; ++i) {
    Edge& edge = learnt.graph.edge(circle.edges[i]);
    ++edge.open_circles;
    watch(edge.to);
  }
}

void State::judge_again(uint32_t edge, Acquisition& a) {
  const Judge judge = this->judge();
  for (Circle** at = &learnt.open; *at != nullptr;) {
    Circle& circle = **at;
    Judgement judgement;
    if (contains(circle, edge)) judge.judge(circle.edges, circle.count, judgement);
    if (judgement.verdict == Verdict::kOrderOnly) {
      at = &circle.next;
      continue;
    }
    *at = circle.next;
    for (uint32_t i = 0; i < circle.count; ++i) {
      --learnt.graph.edge(circle.edges[i]).open_circles;
    }
    (void)learnt.circles.set(arena, circle.hash, static_cast<uint32_t>(judgement.verdict) + 1);
    emit_circle(circle, edge, judgement, {}, &a);
    arena.release(&circle, bytes(circle.count));
  }
}

void State::drop_circles_with(uint32_t edge) {
  for (Circle** at = &learnt.open; *at != nullptr;) {
    Circle& circle = **at;
    if (!contains(circle, edge)) {
      at = &circle.next;
      continue;
    }
    *at = circle.next;
    for (uint32_t i = 0; i < circle.count; ++i) {
      --learnt.graph.edge(circle.edges[i]).open_circles;
    }
    arena.release(&circle, bytes(circle.count));
  }
}

// The circle, beginning with `edge`, which was just done.
void State::emit_circle(Circle& circle, uint32_t edge, const Judgement& judgement,
                        const FoundList<FoundContext>& waiting, Acquisition* a) {
  Finding* finding =
      begin(ReportKind::kCircular, judgement.verdict, a == nullptr ? nullptr : &a->context);
  if (finding == nullptr) return;
  finding->waiting = waiting;
  finding->reason = judgement.reason;
  finding->chain = list<FoundEdge>(circle.count);
  bool runs_differ = false;
  uint32_t run = UINT32_MAX;
  uint32_t first = 0;
  while (circle.edges[first] != edge) ++first;
  for (uint32_t i = 0; i < finding->chain.count; ++i) {
    const uint32_t part = (first + i) % circle.count;
    const Edge& done = learnt.graph.edge(circle.edges[part]);
    unsigned which = part < kPartsMax ? judgement.chosen[part] : 0;
    if (which >= done.witnesses || (i == 0 && judgement.verdict != Verdict::kLikely)) {
      which = done.witnesses - 1U;
    }
    const Witness& witness = *done.ring[which];
    describe_edge(done, witness, finding->chain.items[i]);
    if (witness.context == 0) continue;
    runs_differ |= run != UINT32_MAX && run != witness.run;
    run = witness.run;
  }
  finding->joined = runs_differ && (judgement.unknown || judgement.verdict != Verdict::kOrderOnly);
  if (finding->chain.count != 0) {
    finding->holding = finding->chain.items[0].from;
    finding->taking = finding->chain.items[0].to;
    if (a == nullptr && !finding->chain.items[0].declared) {
      finding->context = finding->chain.items[0].context;
      finding->stack = finding->taking.stack;
    }
  }
  if (a != nullptr) {
    finding->stack = a->stack;
    finding->taking = describe(a->class_id, a->instance, a->how, a->ip, a->stack);
    finding->taking.sync = a->sync;
  }
  add(finding);
}

}  // namespace netfs::lockdep
