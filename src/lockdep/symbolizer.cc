#include "lockdep/symbolizer.h"

#include <string_view>

#include "lockdep/text_format.h"

namespace netfs::lockdep {
namespace {

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

std::string place_text(const Frame& frame) {
  if (frame.file.empty()) return {};
  std::string text = "  " + printable(frame.file);
  if (frame.line > 0) text += ":" + std::to_string(frame.line);
  return text;
}

}  // namespace

std::string frame_text(const Frame& frame) {
  const std::string module = printable(base_name(frame.module));
  if (frame.function.empty()) {
    if (module.empty()) return "0x" + hex_padded(frame.address);
    return module + "+0x" + hex(frame.module_offset) + place_text(frame);
  }
  std::string text = printable(frame.function);
  if (frame.inlined) return text + place_text(frame) + " [inlined]";
  text += "+0x" + hex(frame.offset);
  if (frame.length > 0) text += "/0x" + hex(frame.length);
  if (!frame.in_program && !module.empty()) text += " [" + module + "]";
  return text + place_text(frame);
}

}  // namespace netfs::lockdep
