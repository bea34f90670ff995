// Any bytes may lie in a file that is given as a saved graph: nothing but an Error follows, or a
// graph that can be merged, seeded, searched and written again.  The input's lines are tried as
// they are, and as the body of a file whose first and last lines are right.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "lockdep/saved_graph.h"
#include "lockdep/saved_graph_text.h"
#include "lockdep/suppression_list.h"
#include "lockdep/validator.h"

namespace {

using namespace netfs::lockdep;  // NOLINT: a fuzzer is all about one room

void use(const SavedGraph& graph) {
  SavedGraphMerger merger;
  merger.add(graph);
  merger.add(graph);
  const SavedGraph merged = merger.take();
  const std::string text = encode(merged);
  NETFS_ASSERT(encode(decode_saved_graph(text).value()) == text);
  Validator validator;
  validator.configure({.sink = [](void*, const Report&) {}, .memory_bytes_max = size_t{64} << 20});
  validator.seed(merged);
  validator.check_seeded();
  validator.reset();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)SuppressionList::parse(text, "fuzz").ok();
  if (const auto graph = decode_saved_graph(text); graph.ok()) use(graph.value());
  std::string body = "lockdep-graph 1\n" + std::string(text);
  if (body.back() != '\n') body += '\n';
  if (const auto graph = decode_saved_graph(body + saved_graph_end(body)); graph.ok()) {
    use(graph.value());
  }
  return 0;
}
