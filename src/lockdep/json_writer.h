#pragma once
// JsonWriter: writes JSON text, piece by piece.
//
// Small and own, since this room stands on base alone and runs inside any program.  The caller
// opens and closes what it opens; commas are put by the writer.  Keys are plain names of ours.
// Strings may hold any bytes: what is no UTF-8 is written as U+FFFD, one for each byte, so that the
// text always is. Integers are written in full, without loss; a reader that keeps numbers as
// doubles loses beyond 2^53, so addresses are better written as text.  Not thread-safe.
//
//   JsonWriter json;
//   json.begin_object();
//   json.field("name", "a\n");
//   json.end_object();
//   json.take();  // {"name":"a\n"}

#include <cstdint>
#include <string>
#include <string_view>

namespace netfs::lockdep {

class JsonWriter {
 public:
  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  void key(std::string_view name);

  void value(std::string_view text);
  void value(const char* text) { value(std::string_view(text)); }
  void value(const std::string& text) { value(std::string_view(text)); }
  void value(uint64_t number);
  void value(uint32_t number) { value(uint64_t{number}); }
  void value(int64_t number);
  void value(int number) { value(int64_t{number}); }
  void value(bool truth);
  void null();

  template <typename T>
  void field(std::string_view name, const T& content) {
    key(name);
    value(content);
  }

  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void open(char bracket);
  void close(char bracket);
  void separate();

  std::string text_;
  bool first_ = true;  // nothing stands yet in what is open
};

}  // namespace netfs::lockdep
