#pragma once
// Whole files, as words of a command line name them: `-` is stdin, or stdout.

#include <string>
#include <string_view>

#include "base/result.h"

namespace netfs::lockdep_tool {

// EFBIG over 1 GiB; messages begin with the name.
[[nodiscard]] Result<std::string> read_file(const std::string& path);
[[nodiscard]] Result<> write_file(const std::string& path, std::string_view content);

// Runs `dot -Tsvg` on a graph; ENOENT where graphviz is not installed.
[[nodiscard]] Result<std::string> svg_of(const std::string& dot);

// Says `lockdep: WHY` on stderr; returns kFailed.
int failed(const Error& error);

}  // namespace netfs::lockdep_tool
