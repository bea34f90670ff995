// Signals and wait types (mark_lock, check_irq_usage, check_wait_context).
//
// Per class: which signals were unblocked while it was held, and in the handlers of which it was
// taken, each by mode.  A handler that takes L1 deadlocks if it interrupts the holder of L2 while
// somebody holds L1 and goes on to L2: so a strong path from L1 to L2 is wrong if L1 is taken in
// a handler of a signal that is unblocked while L2 is held; the path may have length 0.  Two
// signals never mix: each has its bit.  Few classes are ever taken in handlers, so paths are
// searched from those.

#include <algorithm>
#include <bit>
#include <cstring>

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

constexpr unsigned kHandlerWait = static_cast<unsigned>(Wait::kSpin);
constexpr unsigned kAnyWait = static_cast<unsigned>(Wait::kBlocking);

template <size_t kBytes>
Text<kBytes>& put_signal(Text<kBytes>& text, int signal) {
  const char* name = ::sigabbrev_np(signal);
  text << "SIG";
  return name != nullptr ? text << name : text << static_cast<uint64_t>(signal);
}

template <size_t kBytes>
void put_handler_state(Text<kBytes>& text, int signal, uint64_t in_write) {
  put_signal(text << "IN-", signal) << ((in_write >> (signal - 1) & 1) != 0 ? "-W" : "-R");
}

template <size_t kBytes>
void put_holder_state(Text<kBytes>& text, int signal, uint64_t held_write) {
  put_signal(text, signal) << ((held_write >> (signal - 1) & 1) != 0 ? "-ON-W" : "-ON-R");
}

uint64_t conflict(const Usage& usage) {
  return ((usage.in_write | usage.in_read) & (usage.held_write | usage.held_read)) |
         (usage.in_recursive & usage.held_write);
}

int first_signal(uint64_t signals) {
  return std::countr_zero(signals) + 1;
}

}  // namespace

void State::mark_usage(const Acquisition& a) {
  const UsageEvent event{.context = a.context,
                         .class_id = a.class_id,
                         .instance = &a.instance,
                         .mode = a.how.mode,
                         .ip = a.ip,
                         .stack = a.stack};
  if (a.context.handling_ != 0 && a.how.attempt != Attempt::kTry) {
    mark_handled(event, a.context.handling_);
  }
  if (!a.sync) mark_held(event, ~a.context.blocked_);
}

void State::mark_held(const UsageEvent& event, uint64_t signals) {
  Usage& usage = record(event.class_id).usage;
  const bool writes = event.mode == Mode::kWrite;
  uint64_t& held = writes ? usage.held_write : usage.held_read;
  if ((signals & ~held) == 0) return;
  held |= signals;
  uint32_t& stack = writes ? usage.held_write_stack : usage.held_read_stack;
  if (stack == 0) stack = event.stack;
  if (learnt.signal_classes.count() == 0) return;
  check_state(event, StateOf::kHolder);
  check_signal_paths(ReportKind::kInversion, event);
}

void State::mark_handled(const UsageEvent& event, uint64_t signals) {
  ClassRecord& found = record(event.class_id);
  Usage& usage = found.usage;
  uint64_t& in = event.mode == Mode::kWrite  ? usage.in_write
                 : event.mode == Mode::kRead ? usage.in_read
                                             : usage.in_recursive;
  if ((signals & ~in) == 0) return;
  in |= signals;
  uint32_t& stack = event.mode == Mode::kWrite ? usage.in_write_stack : usage.in_read_stack;
  if (stack == 0) stack = event.stack;
  if (!found.in_signals) {
    const uint32_t slot = learnt.signal_classes.push(arena);
    if (slot == 0) return;
    learnt.signal_classes[slot] = event.class_id;
    found.in_signals = true;
  }
  check_state(event, StateOf::kHandler);
  check_signal_paths(ReportKind::kInversion, event);
}

// Each signal of a class is reported for itself.
void State::check_state(const UsageEvent& event, StateOf newer) {
  ClassRecord& found = record(event.class_id);
  const Usage& usage = found.usage;
  for (uint64_t left = conflict(usage); left != 0; left &= left - 1) {
    const int signal = first_signal(left);
    // Interrupted by this signal while it holds this very lock: it waits for itself.
    const bool now = newer == StateOf::kHandler && event.instance != nullptr &&
                     (event.context.handling_ >> (signal - 1) & 1) != 0 &&
                     find_held(event.context, *event.instance) != 0;
    const Verdict verdict = now ? Verdict::kProved : Verdict::kLikely;
    if (!first_time(ReportKind::kInconsistentState, found.serial, static_cast<uint64_t>(signal),
                    verdict)) {
      continue;
    }
    Finding* finding = begin(ReportKind::kInconsistentState, verdict, &event.context);
    if (finding == nullptr) return;
    finding->reason << (now ? "the handler interrupted the holder of this lock"
                            : "the handler may interrupt a holder");
    finding->signal = signal;
    const bool handler_is_new = newer == StateOf::kHandler;
    const bool writes = (usage.held_write >> (signal - 1) & 1) != 0;
    const bool in_write = (usage.in_write >> (signal - 1) & 1) != 0;
    put_handler_state(handler_is_new ? finding->new_state : finding->old_state, signal,
                      usage.in_write);
    put_holder_state(handler_is_new ? finding->old_state : finding->new_state, signal,
                     usage.held_write);
    const uint32_t in_stack = in_write ? usage.in_write_stack : usage.in_read_stack;
    const uint32_t held_stack = writes ? usage.held_write_stack : usage.held_read_stack;
    finding->old_state_stack = handler_is_new ? held_stack : in_stack;
    finding->unsafe_state_stack = held_stack;
    finding->stack = event.stack;
    finding->safe_class = view(event.class_id);
    finding->unsafe_class = view(event.class_id);
    finding->taking = {.lock_class = view(event.class_id),
                       .address = reinterpret_cast<uintptr_t>(event.instance),
                       .ip = event.ip,
                       .stack = event.stack,
                       .mode = event.mode};
    add(finding);
  }
}

void State::check_signal_paths(ReportKind kind, const UsageEvent& event) {
  constexpr int kReportsMax = 16;  // at one event
  int reports = 0;
  for (size_t i = 1; i < learnt.signal_classes.end(); ++i) {
    const uint32_t safe = learnt.signal_classes[i];
    const Usage usage = record(safe).usage;
    const uint64_t takes = usage.in_write | usage.in_read;
    while (takes != 0 && reports < kReportsMax &&
           check_signal_path(kind, event, safe, takes, Mode::kWrite)) {
      ++reports;
    }
    while (usage.in_recursive != 0 && reports < kReportsMax &&
           check_signal_path(kind, event, safe, usage.in_recursive, Mode::kRecursiveRead)) {
      ++reports;
    }
  }
}

// Reports one path that was not reported yet; false when there is none.
bool State::check_signal_path(ReportKind kind, const UsageEvent& event, uint32_t safe,
                              uint64_t signals, Mode taken) {
  uint32_t unsafe = 0;
  int signal = 0;
  const auto ends_here = [&](uint32_t node, bool recursive) {
    if (node == safe) return false;
    const Usage& usage = record(node).usage;
    uint64_t met = signals & (usage.held_write | (recursive ? 0 : usage.held_read));
    for (; met != 0; met &= met - 1) {
      unsafe = node;
      signal = first_signal(met);
      const uint64_t pair = mix(record(safe).serial, record(node).serial);
      const uint64_t hash = mix(mix(static_cast<uint64_t>(ReportKind::kUnsafeOrder), pair),
                                static_cast<uint64_t>(signal));
      if (learnt.reported.find(hash) == 0) return true;
      return false;  // one signal of a pair is enough
    }
    return false;
  };
  if (!learnt.graph.search(arena, safe, taken, 0, ends_here)) return false;
  const uint64_t pair = mix(record(safe).serial, record(unsafe).serial);
  if (!first_time(ReportKind::kUnsafeOrder, pair, static_cast<uint64_t>(signal),
                  Verdict::kLikely)) {
    return false;
  }
  report_signal_path(kind, event, safe, unsafe, signal);
  return true;
}

void State::report_signal_path(ReportKind kind, const UsageEvent& event, uint32_t safe,
                               uint32_t unsafe, int signal) {
  Finding* finding = begin(kind, Verdict::kLikely, &event.context);
  if (finding == nullptr) return;
  finding->reason << "a handler may interrupt the holder of one while the other waits for it";
  finding->signal = signal;
  const Usage& in = record(safe).usage;
  const Usage& held = record(unsafe).usage;
  put_handler_state(finding->old_state, signal, in.in_write);
  put_holder_state(finding->new_state, signal, held.held_write);
  finding->old_state_stack =
      (in.in_write >> (signal - 1) & 1) != 0 ? in.in_write_stack : in.in_read_stack;
  finding->unsafe_state_stack =
      (held.held_write >> (signal - 1) & 1) != 0 ? held.held_write_stack : held.held_read_stack;
  finding->safe_class = view(safe);
  finding->unsafe_class = view(unsafe);
  finding->chain = list<FoundEdge>(learnt.graph.path_length());
  for (uint32_t i = 0; i < finding->chain.count; ++i) {
    const Edge& edge = learnt.graph.edge(learnt.graph.path(i));
    describe_edge(edge, *edge.ring[edge.witnesses - 1], finding->chain.items[i]);
  }
  finding->stack = event.stack;
  finding->taking = {.lock_class = view(event.class_id),
                     .address = reinterpret_cast<uintptr_t>(event.instance),
                     .ip = event.ip,
                     .stack = event.stack,
                     .mode = event.mode};
  if (finding->held.count != 0) {
    finding->holding = finding->held.items[finding->held.count - 1];
  }
  add(finding);
}

void State::check_wait(const Acquisition& a) {
  const unsigned outer = record(a.class_id).wait_outer;
  if (outer == 0) return;
  unsigned limit = a.context.handlers_ != 0 ? kHandlerWait : kAnyWait;
  const Context* owner = nullptr;
  size_t at = 0;
  for_each_held(a.context, [&](const Context& holder, size_t index) {
    const uint32_t id = held::class_id(holder.held_[index].state.load(std::memory_order_relaxed));
    const unsigned inner = id == 0 ? 0 : record(id).wait_inner;
    if (inner != 0 && inner < limit) {
      limit = inner;
      owner = &holder;
      at = index;
    }
    return true;
  });
  if (outer <= limit) return;
  if (!first_time(ReportKind::kInvalidWait, record(a.class_id).serial, limit, Verdict::kLikely)) {
    return;
  }
  Finding* finding = begin(ReportKind::kInvalidWait, Verdict::kLikely, &a.context);
  if (finding == nullptr) return;
  finding->reason << (owner == nullptr ? "a signal handler may not wait so long"
                                       : "who waits for a held lock may not wait so long");
  finding->context_wait = limit;
  finding->stack = a.stack;
  finding->taking = describe(a.class_id, a.instance, a.how, a.ip, a.stack);
  if (owner != nullptr) finding->holding = describe(*owner, at);
  add(finding);
}

}  // namespace netfs::lockdep
