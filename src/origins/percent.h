#pragma once
// Percent-escapes of paths.  Pure.

#include <optional>
#include <string>
#include <string_view>

namespace netfs::origins {

// The bytes that `text` stands for; nothing where a '%' is not followed by two hex digits.
std::optional<std::string> percent_decode(std::string_view text);

// `path` as it stands in a URL: all but letters, digits and "-._~/" escaped.
std::string percent_encode_path(std::string_view path);

}  // namespace netfs::origins
