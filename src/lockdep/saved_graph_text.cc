#include "lockdep/saved_graph_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>

#include "base/crc32c.h"
#include "lockdep/text_format.h"
#include "lockdep/validator.h"

namespace netfs::lockdep {
namespace {

constexpr uint32_t kNone = SavedGraph::kNone;
constexpr std::string_view kMagic = "lockdep-graph ";

// A word of a line: no space, no control byte, never empty.
std::string word(std::string_view text) {
  if (text.empty()) return "%";
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte == '%' || byte == 0x7f) {
      escaped += '%';
      escaped += "0123456789abcdef"[byte >> 4];
      escaped += "0123456789abcdef"[byte & 15];
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string index_word(uint32_t index) {
  return index == kNone ? "-" : std::to_string(index);
}

class Encoder {
 public:
  template <typename... Words>
  void line(char tag, const Words&... words) {
    text_ += tag;
    (add(words), ...);
    text_ += '\n';
  }
  void begin(char tag) { text_ += tag; }
  void end() { text_ += '\n'; }
  void add(const std::string& text) { text_ += " " + text; }
  void add(uint64_t number) { add(std::to_string(number)); }
  void add(int64_t number) { add(std::to_string(number)); }
  void add(uint32_t number) { add(std::to_string(number)); }
  void add(uint8_t number) { add(std::to_string(number)); }
  void add(bool truth) { add(std::string(truth ? "1" : "0")); }
  void add(Mode mode) { add(static_cast<uint8_t>(mode)); }

  std::string text_;
};

void encode_edge(const SavedGraph::Edge& edge, Encoder& out) {
  out.line('e', edge.from, edge.to);
  for (const SavedGraph::Witness& w : edge.witnesses) {
    out.line('w', w.context, w.segment, index_word(w.held), w.time_ns, w.alone, w.from.number,
             index_word(w.from.stack), w.from.mode, w.from.attempt, w.from.sync, w.to.number,
             index_word(w.to.stack), w.to.mode, w.to.attempt, w.to.sync);
  }
}

// The words of one line; the first that is none makes all that follow fail.
class Words {
 public:
  explicit Words(std::string_view line) : left_(line) {}

  std::string_view next() {
    if (left_.empty() || left_.front() != ' ') return fail();
    left_.remove_prefix(1);
    const size_t end = std::min(left_.find(' '), left_.size());
    const std::string_view found = left_.substr(0, end);
    left_.remove_prefix(end);
    return found.empty() ? fail() : found;
  }
  std::string text() {
    const std::string_view escaped = next();
    if (escaped == "%") return {};
    std::string plain;
    for (size_t i = 0; i < escaped.size(); ++i) {
      if (escaped[i] != '%') {
        plain += escaped[i];
        continue;
      }
      unsigned byte = 0;
      const std::string_view digits = escaped.substr(std::min(i + 1, escaped.size()), 2);
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
      if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) fail();
      plain += static_cast<char>(byte);
      i += 2;
    }
    return plain;
  }
  template <typename T>
  T number(T max) {
    const std::string_view digits = next();
    T value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || value > max) fail();
    return ok_ ? value : 0;
  }
  bool truth() { return number<unsigned>(1) != 0; }
  Mode mode() { return static_cast<Mode>(number<unsigned>(2)); }
  uint8_t attempt() { return static_cast<uint8_t>(number<unsigned>(2)); }
  // Of `count` things.
  uint32_t index(size_t count) {
    const auto value = number<uint32_t>(kNone - 1);
    if (value >= count) fail();
    return value;
  }
  uint32_t index_or_none(size_t count) {
    if (left_.substr(0, 2) == " -" && (left_.size() == 2 || left_[2] == ' ')) {
      left_.remove_prefix(2);
      return kNone;
    }
    return index(count);
  }
  [[nodiscard]] bool more() const { return ok_ && !left_.empty(); }
  // All was as it should, and nothing is left.
  [[nodiscard]] bool done() const { return ok_ && left_.empty(); }

 private:
  std::string_view fail() {
    ok_ = false;
    return {};
  }
  std::string_view left_;
  bool ok_ = true;
};

class Decoder {
 public:
  bool line(char tag, Words words) {
    switch (tag) {
      case 'm':
        graph_.modules.push_back({.build_id = words.text(), .path = words.text()});
        break;
      case 'p':
        graph_.places.push_back({.module = words.index(graph_.modules.size()),
                                 .offset = words.number<uint64_t>(UINT64_MAX)});
        break;
      case 's':
        graph_.stacks.emplace_back();
        while (words.more()) graph_.stacks.back().push_back(words.index(graph_.places.size()));
        break;
      case 'k':
        read_class(words);
        break;
      case 'r':
        graph_.runs.push_back({.program = words.text(),
                               .process = words.number<int64_t>(INT64_MAX),
                               .time_ns = words.number<int64_t>(INT64_MAX)});
        break;
      case 'c':
        graph_.contexts.push_back({.run = words.index(graph_.runs.size()),
                                   .name = words.text(),
                                   .id = words.number<uint64_t>(UINT64_MAX),
                                   .is_thread = words.truth(),
                                   .role = words.number<uint64_t>(UINT64_MAX),
                                   .twins = words.truth()});
        break;
      case 'g':
        graph_.segments.push_back({.before = words.index_or_none(graph_.segments.size()),
                                   .observed = words.index_or_none(graph_.segments.size())});
        break;
      case 'h':
        read_lock_set(words);
        break;
      case 'e':
        graph_.edges.push_back({.from = words.index(graph_.classes.size()),
                                .to = words.index(graph_.classes.size()),
                                .witnesses = {}});
        break;
      case 'w':
        return read_witness(words);
      default:
        return false;
    }
    return words.done();
  }
  SavedGraph take() { return std::move(graph_); }

 private:
  void read_class(Words& words) {
    SavedGraph::Class one{.identity = words.text(), .name = words.text()};
    one.subclass = static_cast<uint8_t>(words.number<unsigned>(ClassKey::kSubclasses - 1));
    one.wait_outer = static_cast<uint8_t>(words.number<unsigned>(5));
    one.wait_inner = static_cast<uint8_t>(words.number<unsigned>(5));
    one.one_lock = words.truth();
    graph_.classes.push_back(std::move(one));
  }
  void read_lock_set(Words& words) {
    graph_.lock_sets.emplace_back();
    while (words.more()) {
      graph_.lock_sets.back().push_back({.number = words.number<uint64_t>(UINT64_MAX),
                                         .lock_class = words.index(graph_.classes.size()),
                                         .owner = words.index(graph_.contexts.size()),
                                         .stack = words.index_or_none(graph_.stacks.size()),
                                         .mode = words.mode(),
                                         .trylock = words.truth()});
    }
  }
  SavedGraph::End read_end(Words& words) const {
    return {.number = words.number<uint64_t>(UINT64_MAX),
            .stack = words.index_or_none(graph_.stacks.size()),
            .mode = words.mode(),
            .attempt = words.attempt(),
            .sync = words.truth()};
  }
  bool read_witness(Words& words) {
    if (graph_.edges.empty()) return false;
    std::vector<SavedGraph::Witness>& witnesses = graph_.edges.back().witnesses;
    if (witnesses.size() == SavedGraph::kWitnessesMax) return false;
    SavedGraph::Witness witness;
    witness.context = words.index(graph_.contexts.size());
    witness.segment = words.index(graph_.segments.size());
    witness.held = words.index_or_none(graph_.lock_sets.size());
    witness.time_ns = words.number<int64_t>(INT64_MAX);
    witness.alone = words.truth();
    witness.from = read_end(words);
    witness.to = read_end(words);
    witnesses.push_back(witness);
    return words.done();
  }

  SavedGraph graph_;
};

}  // namespace

std::string saved_graph_end(std::string_view text) {
  return "end " + hex(crc32c(std::as_bytes(std::span<const char>(text.data(), text.size())))) +
         "\n";
}

std::string encode(const SavedGraph& graph) {
  Encoder out;
  out.text_ = std::string(kMagic) + std::to_string(kSavedGraphVersion) + "\n";
  for (const auto& m : graph.modules) out.line('m', word(m.build_id), word(m.path));
  for (const auto& p : graph.places) out.line('p', p.module, p.offset);
  for (const auto& stack : graph.stacks) {
    out.begin('s');
    for (const uint32_t place : stack) out.add(place);
    out.end();
  }
  for (const auto& k : graph.classes) {
    out.line('k', word(k.identity), word(k.name), k.subclass, k.wait_outer, k.wait_inner,
             k.one_lock);
  }
  for (const auto& r : graph.runs) out.line('r', word(r.program), r.process, r.time_ns);
  for (const auto& c : graph.contexts) {
    out.line('c', c.run, word(c.name), c.id, c.is_thread, c.role, c.twins);
  }
  for (const auto& g : graph.segments) {
    out.line('g', index_word(g.before), index_word(g.observed));
  }
  for (const auto& gates : graph.lock_sets) {
    out.begin('h');
    for (const auto& gate : gates) {
      out.add(gate.number);
      out.add(gate.lock_class);
      out.add(gate.owner);
      out.add(index_word(gate.stack));
      out.add(gate.mode);
      out.add(gate.trylock);
    }
    out.end();
  }
  for (const auto& edge : graph.edges) encode_edge(edge, out);
  return out.text_ + saved_graph_end(out.text_);
}

Result<SavedGraph> decode_saved_graph(std::string_view text) {
  if (text.substr(0, kMagic.size()) != kMagic) {
    return Error(EINVAL, "saved graph", "is no saved lock graph");
  }
  const size_t first = std::min(text.find('\n'), text.size());
  const std::string_view version = text.substr(kMagic.size(), first - kMagic.size());
  if (version != std::to_string(kSavedGraphVersion)) {
    return Error(EPROTO, "saved graph",
                 "is a saved lock graph of version " + printable(version.substr(0, 20)) +
                     "; this lockdep reads version " + std::to_string(kSavedGraphVersion));
  }
  const size_t last = text.size() < 2 ? 0 : text.rfind('\n', text.size() - 2) + 1;
  if (last == 0 || text.substr(last) != saved_graph_end(text.substr(0, last))) {
    return Error(EBADMSG, "saved graph", "is cut short or damaged: its checksum is not right");
  }
  Decoder decoder;
  size_t number = 2;
  for (size_t at = first + 1; at < last; ++number) {
    const size_t end = text.find('\n', at);
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (line.empty() || !decoder.line(line.front(), Words(line.substr(1)))) {
      return Error(EBADMSG, "saved graph",
                   "is damaged: line " + std::to_string(number) + " makes no sense");
    }
  }
  return decoder.take();
}

}  // namespace netfs::lockdep
