#pragma once
// draw: a saved graph, or the circle of the first report that has one, as a picture.

#include <cstdint>
#include <string>

#include "base/result.h"

namespace netfs::lockdep_tool {

enum class Drawing : uint8_t { kDot, kSvg };

// From a file to a file; `-` is stdin, or stdout.
[[nodiscard]] Result<> draw(const std::string& file, const std::string& output, Drawing drawing);

}  // namespace netfs::lockdep_tool
