#include "lockdep/report_json.h"

#include <string_view>

#include "lockdep/json_writer.h"
#include "lockdep/report_words.h"
#include "lockdep/suppression.h"
#include "lockdep/text_format.h"

namespace netfs::lockdep {
namespace {

std::string address_text(uint64_t address) {
  return "0x" + hex(address);
}

// Writes the parts of one report; members in the order of the schema.
class Writer {
 public:
  Writer(const Report& report, Symbolizer& symbolizer, const ReportIdentity& identity)
      : report_(report), symbolizer_(symbolizer), identity_(identity) {}

  std::string write() {
    json_.begin_object();
    json_.field("schema", kReportSchema);
    json_.field("kind", kind_word(report_.kind));
    json_.field("title", kind_title(report_));
    json_.field("summary", summary_line(report_));
    json_.field("verdict", verdict_word(report_.verdict));
    json_.field("reason", report_.reason);
    json_.field("joined", report_.joined);
    json_.field("suppression", suppression_line(report_));
    program();
    classes();
    json_.key("path");
    json_.begin_array();
    for (const uint32_t index : class_path(report_)) json_.value(index);
    json_.end_array();
    context("context", report_.context);
    lock("taking", report_.taking);
    if (report_.holding) {
      lock("holding", *report_.holding);
    } else {
      json_.key("holding");
      json_.null();
    }
    if (report_.holder) {
      context("holder", *report_.holder);
    } else {
      json_.key("holder");
      json_.null();
    }
    chain();
    locks("held", report_.held);
    stack("stack", report_.stack);
    json_.key("waiting");
    json_.begin_array();
    for (const ReportedContext& waiting : report_.waiting) context_object(waiting);
    json_.end_array();
    details();
    json_.end_object();
    return json_.take();
  }

 private:
  void program() {
    json_.key("program");
    json_.begin_object();
    json_.field("name", identity_.program);
    json_.field("version", identity_.version);
    json_.field("build_id", identity_.build_id);
    json_.field("pid", identity_.process);
    json_.end_object();
  }

  void classes() {
    json_.key("classes");
    json_.begin_array();
    for (const ReportedClass& lock_class : report_.classes) {
      json_.begin_object();
      json_.field("name", lock_class.name);
      json_.field("version", lock_class.version);
      json_.field("subclass", lock_class.subclass);
      json_.field("usage", lock_class.usage);
      json_.field("wait_outer", lock_class.wait_outer);
      json_.field("wait_inner", lock_class.wait_inner);
      json_.end_object();
    }
    json_.end_array();
  }

  void context(std::string_view key, const ReportedContext& context) {
    json_.key(key);
    context_object(context);
  }
  void context_object(const ReportedContext& context) {
    json_.begin_object();
    json_.field("name", context.name);
    json_.field("id", context.id);
    json_.field("thread", context.is_thread);
    json_.end_object();
  }

  void lock(std::string_view key, const ReportedLock& lock) {
    json_.key(key);
    lock_object(lock);
  }
  void lock_object(const ReportedLock& lock) {
    json_.begin_object();
    json_.field("class", lock.class_index);
    json_.field("address", address_text(lock.address));
    json_.field("mode", mode_word(lock.mode));
    json_.field("trylock", lock.trylock);
    json_.field("sync", lock.sync);
    stack("stack", lock.stack);
    json_.end_object();
  }
  void locks(std::string_view key, const std::vector<ReportedLock>& locks) {
    json_.key(key);
    json_.begin_array();
    for (const ReportedLock& lock : locks) lock_object(lock);
    json_.end_array();
  }

  void chain() {
    json_.key("chain");
    json_.begin_array();
    for (const ReportedEdge& edge : report_.chain) {
      json_.begin_object();
      lock("from", edge.from);
      lock("to", edge.to);
      context("context", edge.context);
      json_.field("time_ns", edge.time_ns);
      json_.field("declared", edge.declared);
      json_.field("run", edge.run);
      locks("gates", edge.gates);
      json_.end_object();
    }
    json_.end_array();
  }

  void stack(std::string_view key, const Stack& stack) {
    json_.key(key);
    json_.begin_array();
    for (const uintptr_t address : stack) {
      for (const Frame& frame : symbolizer_.resolve(address)) frame_object(frame);
    }
    json_.end_array();
  }
  void frame_object(const Frame& frame) {
    json_.begin_object();
    json_.field("address", address_text(frame.address));
    json_.field("function", frame.function);
    json_.field("offset", frame.offset);
    json_.field("length", frame.length);
    json_.field("file", frame.file);
    json_.field("line", frame.line);
    json_.field("module", frame.module);
    json_.field("module_offset", address_text(frame.module_offset));
    json_.field("inlined", frame.inlined);
    json_.end_object();
  }

  // What some kinds have: null or empty elsewhere.
  void details() {
    const bool signals = report_.signal != 0;
    json_.field("signal", report_.signal);
    json_.field("signal_name", signals ? signal_name(report_.signal) : std::string());
    json_.field("old_state", report_.old_state);
    json_.field("new_state", report_.new_state);
    stack("old_state_stack", report_.old_state_stack);
    stack("unsafe_state_stack", report_.unsafe_state_stack);
    json_.key("safe_class");
    signals ? json_.value(report_.safe_class) : json_.null();
    json_.key("unsafe_class");
    signals ? json_.value(report_.unsafe_class) : json_.null();
    json_.key("compare_result");
    report_.compare_result ? json_.value(*report_.compare_result) : json_.null();
    json_.field("freed_from", address_text(report_.freed_from));
    json_.field("freed_to", address_text(report_.freed_to));
    json_.field("context_wait", report_.context_wait);
    json_.field("message", report_.message);
  }

  const Report& report_;
  Symbolizer& symbolizer_;
  const ReportIdentity& identity_;
  JsonWriter json_;
};

}  // namespace

std::string report_json(const Report& report, Symbolizer& symbolizer,
                        const ReportIdentity& identity) {
  return Writer(report, symbolizer, identity).write();
}

}  // namespace netfs::lockdep
