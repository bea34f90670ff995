#include "lockdep/json_writer.h"

#include <cstddef>

namespace netfs::lockdep {
namespace {

// How many bytes the UTF-8 character at the front has; 0 if there is none: a stray or missing
// continuation, a longer form than needed, a surrogate, or beyond U+10FFFF.
size_t utf8_length(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(0);
  size_t length = 0;
  unsigned low = 0x80;  // of the second byte
  unsigned high = 0xbf;
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) length = 2;
  if (lead >= 0xe0 && lead <= 0xef) length = 3;
  if (lead >= 0xf0 && lead <= 0xf4) length = 4;
  if (lead == 0xe0) low = 0xa0;
  if (lead == 0xed) high = 0x9f;
  if (lead == 0xf0) low = 0x90;
  if (lead == 0xf4) high = 0x8f;
  if (length == 0 || bytes.size() < length || at(1) < low || at(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

void append_escaped(std::string& text, unsigned char byte) {
  switch (byte) {
    case '"':
      text += "\\\"";
      return;
    case '\\':
      text += "\\\\";
      return;
    case '\n':
      text += "\\n";
      return;
    case '\r':
      text += "\\r";
      return;
    case '\t':
      text += "\\t";
      return;
    default:
      break;
  }
  if (byte >= 0x20 && byte != 0x7f) {
    text += static_cast<char>(byte);
    return;
  }
  text += "\\u00";
  text += "0123456789abcdef"[byte >> 4];
  text += "0123456789abcdef"[byte & 15];
}

}  // namespace

void JsonWriter::separate() {
  if (!first_) text_ += ',';
  first_ = false;
}

void JsonWriter::open(char bracket) {
  separate();
  text_ += bracket;
  first_ = true;
}

void JsonWriter::close(char bracket) {
  text_ += bracket;
  first_ = false;
}

void JsonWriter::key(std::string_view name) {
  value(name);
  text_ += ':';
  first_ = true;
}

void JsonWriter::value(std::string_view bytes) {
  separate();
  text_ += '"';
  while (!bytes.empty()) {
    const size_t length = utf8_length(bytes);
    if (length == 1) append_escaped(text_, static_cast<unsigned char>(bytes[0]));
    if (length > 1) text_ += bytes.substr(0, length);
    if (length == 0) text_ += "\\ufffd";
    bytes.remove_prefix(length == 0 ? 1 : length);
  }
  text_ += '"';
}

void JsonWriter::value(uint64_t number) {
  separate();
  text_ += std::to_string(number);
}

void JsonWriter::value(int64_t number) {
  separate();
  text_ += std::to_string(number);
}

void JsonWriter::value(bool truth) {
  separate();
  text_ += truth ? "true" : "false";
}

void JsonWriter::null() {
  separate();
  text_ += "null";
}

}  // namespace netfs::lockdep
