#include "lockdep_tool/report_reader.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "lockdep/report_json.h"
#include "lockdep/report_words.h"

namespace netfs::lockdep_tool {
namespace {

using lockdep::Frame;
using lockdep::Mode;
using lockdep::Report;
using nlohmann::json;

const json& member(const json& object, const char* key) {
  static const json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}
std::string text_of(const json& object, const char* key) {
  const json& found = member(object, key);
  return found.is_string() ? found.get<std::string>() : std::string();
}
template <typename T>
T number_of(const json& object, const char* key) {
  const json& found = member(object, key);
  return found.is_number_integer() ? found.get<T>() : T{0};
}
bool truth_of(const json& object, const char* key) {
  const json& found = member(object, key);
  return found.is_boolean() && found.get<bool>();
}
uint64_t address_of(const json& object, const char* key) {
  return std::strtoull(text_of(object, key).c_str(), nullptr, 16);
}

template <typename E>
bool read_word(const std::string& word, std::string_view (*word_of)(E), E last, E& out) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(last); ++i) {
    if (word_of(static_cast<E>(i)) != word) continue;
    out = static_cast<E>(i);
    return true;
  }
  return false;
}

// Reads one report; what makes no sense is remembered in `sound_`.
class Reader {
 public:
  explicit Reader(ReadReport& out) : out_(out), report_(out.report) {}

  bool read(const json& page) {
    sound_ = read_word(text_of(page, "kind"), &lockdep::kind_word, lockdep::ReportKind::kOrphaned,
                       report_.kind) &&
             read_word(text_of(page, "verdict"), &lockdep::verdict_word, lockdep::Verdict::kProved,
                       report_.verdict);
    report_.reason = text_of(page, "reason");
    report_.joined = truth_of(page, "joined");
    read_program(member(page, "program"));
    for (const json& one : member(page, "classes")) {
      report_.classes.push_back({.name = text_of(one, "name"),
                                 .version = number_of<unsigned>(one, "version"),
                                 .subclass = number_of<unsigned>(one, "subclass"),
                                 .usage = text_of(one, "usage"),
                                 .wait_outer = number_of<unsigned>(one, "wait_outer"),
                                 .wait_inner = number_of<unsigned>(one, "wait_inner")});
    }
    report_.context = context(member(page, "context"));
    report_.taking = lock(member(page, "taking"));
    if (member(page, "holding").is_object()) report_.holding = lock(member(page, "holding"));
    if (member(page, "holder").is_object()) report_.holder = context(member(page, "holder"));
    for (const json& edge : member(page, "chain")) {
      report_.chain.push_back({.from = lock(member(edge, "from")),
                               .to = lock(member(edge, "to")),
                               .context = context(member(edge, "context")),
                               .time_ns = number_of<int64_t>(edge, "time_ns"),
                               .declared = truth_of(edge, "declared"),
                               .run = text_of(edge, "run"),
                               .gates = locks(member(edge, "gates"))});
    }
    check_chain();
    report_.held = locks(member(page, "held"));
    report_.stack = stack(member(page, "stack"));
    for (const json& one : member(page, "waiting")) report_.waiting.push_back(context(one));
    read_details(page);
    return sound_;
  }

 private:
  void read_program(const json& program) {
    out_.identity = {.program = text_of(program, "name"),
                     .version = text_of(program, "version"),
                     .build_id = text_of(program, "build_id"),
                     .process = number_of<int64_t>(program, "pid")};
  }
  // A circle leads from edge to edge and back; whoever shows one relies on it.
  void check_chain() {
    if (report_.kind != lockdep::ReportKind::kCircular) return;
    const auto& chain = report_.chain;
    sound_ &= !chain.empty();
    for (size_t i = 0; i < chain.size(); ++i) {
      sound_ &= chain[i].to.class_index == chain[(i + 1) % chain.size()].from.class_index;
    }
  }
  void read_details(const json& page) {
    report_.signal = number_of<int>(page, "signal");
    report_.old_state = text_of(page, "old_state");
    report_.new_state = text_of(page, "new_state");
    report_.old_state_stack = stack(member(page, "old_state_stack"));
    report_.unsafe_state_stack = stack(member(page, "unsafe_state_stack"));
    if (report_.signal != 0) {
      report_.safe_class = index(page, "safe_class");
      report_.unsafe_class = index(page, "unsafe_class");
    }
    if (member(page, "compare_result").is_number_integer()) {
      report_.compare_result = number_of<int>(page, "compare_result");
    }
    report_.freed_from = address_of(page, "freed_from");
    report_.freed_to = address_of(page, "freed_to");
    report_.context_wait = number_of<unsigned>(page, "context_wait");
    report_.message = text_of(page, "message");
  }
  static lockdep::ReportedContext context(const json& one) {
    return {.name = text_of(one, "name"),
            .id = number_of<uint64_t>(one, "id"),
            .is_thread = truth_of(one, "thread")};
  }
  uint32_t index(const json& object, const char* key) {
    const auto found = number_of<uint32_t>(object, key);
    sound_ &= found < report_.classes.size();
    return sound_ ? found : 0;
  }
  lockdep::ReportedLock lock(const json& one) {
    lockdep::ReportedLock lock{.class_index = index(one, "class"),
                               .address = address_of(one, "address"),
                               .trylock = truth_of(one, "trylock"),
                               .sync = truth_of(one, "sync"),
                               .stack = stack(member(one, "stack"))};
    sound_ &= read_word(text_of(one, "mode"), &lockdep::mode_word, Mode::kRecursiveRead, lock.mode);
    return lock;
  }
  std::vector<lockdep::ReportedLock> locks(const json& list) {
    std::vector<lockdep::ReportedLock> locks;
    for (const json& one : list) locks.push_back(lock(one));
    return locks;
  }
  // Frames up to one that is not inlined are one address.
  lockdep::Stack stack(const json& list) {
    lockdep::Stack stack;
    std::vector<Frame> frames;
    for (const json& one : list) {
      frames.push_back({.function = text_of(one, "function"),
                        .offset = number_of<uint64_t>(one, "offset"),
                        .length = number_of<uint64_t>(one, "length"),
                        .file = text_of(one, "file"),
                        .line = number_of<int>(one, "line"),
                        .module = text_of(one, "module"),
                        .module_offset = address_of(one, "module_offset"),
                        .in_program = in_program(text_of(one, "module")),
                        .inlined = truth_of(one, "inlined"),
                        .address = address_of(one, "address")});
      if (frames.back().inlined) continue;
      out_.frames.push_back(std::exchange(frames, {}));
      stack.push_back(out_.frames.size());
    }
    return stack;
  }
  [[nodiscard]] bool in_program(const std::string& module) const {
    return module.substr(module.rfind('/') + 1) == out_.identity.program;
  }

  ReadReport& out_;
  Report& report_;
  bool sound_ = true;
};

}  // namespace

std::vector<Frame> ReadReport::resolve(uintptr_t return_address) {
  if (return_address == 0 || return_address > frames.size()) {
    Frame unknown;
    unknown.address = return_address;
    return {unknown};
  }
  return frames[return_address - 1];
}

Result<std::vector<ReadReport>> read_reports(std::string_view text, const std::string& name) {
  std::vector<ReadReport> reports;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() != '{') continue;
    const json page = json::parse(line, nullptr, false);
    if (page.is_discarded() || !page.is_object() || !page.contains("schema")) continue;
    const std::string place = name + ":" + std::to_string(number);
    if (member(page, "schema") != lockdep::kReportSchema) {
      return Error(EINVAL, "report", place + " is a report of a schema that is not known here");
    }
    reports.emplace_back();
    if (!Reader(reports.back()).read(page)) {
      return Error(EINVAL, "report", place + " is a damaged report");
    }
  }
  if (reports.empty()) {
    return Error(EINVAL, "report",
                 name + " has no lockdep report in JSON (lockdep run --json writes them)");
  }
  return reports;
}

Result<> check_end(std::string_view text, const std::string& name) {
  constexpr std::string_view kBegin = "{\"schema\":";
  if (text.empty() || text.back() == '\n') return {};
  const std::string_view last = text.substr(text.rfind('\n') + 1);
  if (last.substr(0, kBegin.size()) != kBegin || json::accept(last)) return {};
  return Error(EINVAL, "report", name + ": its last report is cut short");
}

}  // namespace netfs::lockdep_tool
