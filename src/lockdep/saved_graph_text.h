#pragma once
// The file format of a SavedGraph: text, one thing a line, made to be kept, sent and looked at.
//
// docs/lockdep-tool.md has the lines.  The first has the version, the last a CRC-32C of all before
// it.  Pure functions, thread-safe.

#include <string>
#include <string_view>

#include "base/result.h"
#include "lockdep/saved_graph.h"

namespace netfs::lockdep {

inline constexpr int kSavedGraphVersion = 1;

[[nodiscard]] std::string encode(const SavedGraph& graph);

// EINVAL: no saved graph.  EPROTO: of another version.  EBADMSG: cut short or damaged.  What is
// read can be relied on: every index is in its range, every segment after those it follows.
[[nodiscard]] Result<SavedGraph> decode_saved_graph(std::string_view text);

// The last line of a file that begins with `text`.
[[nodiscard]] std::string saved_graph_end(std::string_view text);

}  // namespace netfs::lockdep
