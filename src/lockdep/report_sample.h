#pragma once
// For tests: a symbolizer with fixed names, and the parts that reports are made of.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lockdep/report.h"
#include "lockdep/report_text.h"
#include "lockdep/symbolizer.h"

namespace netfs::lockdep {

// Gives each function its own address; knows what was given and nothing else.
class FakeSymbolizer final : public Symbolizer {
 public:
  // `at` is `symbol+0xoff/0xlen`, as the kernel prints it.
  uintptr_t add(const std::string& at) {
    if (const auto known = addresses_.find(at); known != addresses_.end()) return known->second;
    Frame frame;
    const size_t plus = at.find('+');
    const size_t slash = at.find('/', plus);
    frame.function = at.substr(0, plus);
    frame.offset = std::stoull(at.substr(plus + 1, slash - plus - 1), nullptr, 16);
    frame.length = std::stoull(at.substr(slash + 1), nullptr, 16);
    return addresses_[at] = add({frame});
  }
  uintptr_t add(std::vector<Frame> frames) {
    const uintptr_t address = 0x401000 + frames_.size() * 16;
    for (Frame& frame : frames) frame.address = address;
    frames_[address] = std::move(frames);
    return address;
  }
  Stack stack(const std::vector<std::string>& functions) {
    Stack stack;
    for (const std::string& function : functions) stack.push_back(add(function));
    return stack;
  }

  std::vector<Frame> resolve(uintptr_t address) override {
    const auto known = frames_.find(address);
    if (known != frames_.end()) return known->second;
    Frame unknown;
    unknown.address = address;
    return {unknown};
  }

 private:
  std::map<std::string, uintptr_t> addresses_;
  std::map<uintptr_t, std::vector<Frame>> frames_;
};

inline TextOptions sample_options() {
  return {.identity = {.program = "holetest",
                       .version = "0.1.0",
                       .build_id = "4f1c8e02a9b3c5d7ffffffff",
                       .process = 65500}};
}

// Classes a (index 0), b, c; thread holetest/65517 holds a, at main+0x10/0x80, and came to
// work+0x20/0x60.
inline Report sample_report(ReportKind kind, FakeSymbolizer& symbolizer) {
  Report report;
  report.kind = kind;
  report.verdict = Verdict::kProved;
  report.reason = "needs nobody else";
  report.classes = {{.name = "a", .usage = "....", .wait_outer = 4, .wait_inner = 4},
                    {.name = "b", .usage = "....", .wait_outer = 4, .wait_inner = 4},
                    {.name = "c", .usage = "....", .wait_outer = 2, .wait_inner = 2}};
  report.context = {.name = "holetest", .id = 65517};
  report.held = {
      {.class_index = 0, .address = 0x7ffd00001000, .stack = symbolizer.stack({"main+0x10/0x80"})}};
  report.taking = {.class_index = 1,
                   .address = 0x7ffd00002000,
                   .stack = symbolizer.stack({"work+0x20/0x60", "main+0x30/0x80"})};
  report.holding = report.held[0];
  report.stack = report.taking.stack;
  return report;
}

// A dependency between two of the classes, with stacks named after both ends.
inline ReportedEdge sample_edge(uint32_t from, uint32_t to, FakeSymbolizer& symbolizer) {
  const auto lock = [&](uint32_t index, const std::string& function) {
    return ReportedLock{.class_index = index,
                        .address = 0x7ffd00001000 + index * uint64_t{0x1000},
                        .stack = symbolizer.stack({function, "main+0x30/0x80"})};
  };
  const std::string name = std::to_string(from) + "_" + std::to_string(to);
  ReportedEdge edge;
  edge.from = lock(from, "hold_" + name + "+0x4/0x20");
  edge.to = lock(to, "take_" + name + "+0x8/0x20");
  edge.context = {.name = "worker", .id = 65518};
  edge.time_ns = 1'638'884'395'000'123'000;
  return edge;
}

}  // namespace netfs::lockdep
