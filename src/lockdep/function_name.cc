#include "lockdep/function_name.h"

#include <algorithm>
#include <cstdlib>
#include <cxxabi.h>

namespace netfs::lockdep {
namespace {

constexpr std::string_view kAnonymous = "(anonymous namespace)";
constexpr std::string_view kOperator = "operator";

// How many characters at `at` belong together and say nothing of nesting: the anonymous namespace,
// or an operator's name with its <, > and (); 0 if none.
size_t atom_length(std::string_view name, size_t at) {
  const std::string_view rest = name.substr(at);
  if (rest.starts_with(kAnonymous)) return kAnonymous.size();
  if (!rest.starts_with(kOperator) || (at > 0 && name[at - 1] != ':' && name[at - 1] != ' ')) {
    return 0;
  }
  if (rest.substr(kOperator.size()).starts_with("()")) return kOperator.size() + 2;
  // `operator<<`, `operator new[]`, `operator bool`: up to the parameters.
  const size_t parameters = rest.find('(', kOperator.size());
  return parameters == std::string_view::npos ? rest.size() : parameters;
}

}  // namespace

std::string without_types(std::string_view demangled) {
  size_t begin = 0;
  size_t end = demangled.size();
  int depth = 0;
  for (size_t at = 0; at < demangled.size();) {
    if (const size_t atom = atom_length(demangled, at); atom > 0) {
      at += atom;
      continue;
    }
    const char c = demangled[at];
    if (c == '(' && depth == 0 && at > begin) {
      // Parameters, unless a function in a function follows: f(int)::{lambda()#1}::operator()().
      int nested = 0;
      size_t close = at;
      for (; close < demangled.size(); ++close) {
        if (demangled[close] == '(') ++nested;
        if (demangled[close] == ')' && --nested == 0) break;
      }
      std::string_view rest = demangled.substr(std::min(close + 1, demangled.size()));
      if (rest.starts_with(" const")) rest.remove_prefix(6);
      if (!rest.starts_with("::")) {
        end = at;
        break;
      }
      at = demangled.size() - rest.size();
      continue;
    }
    if (c == '<' || c == '(' || c == '{' || c == '[') ++depth;
    if (c == '>' || c == ')' || c == '}' || c == ']') --depth;
    if (c == ' ' && depth == 0) begin = at + 1;  // behind a return type
    ++at;
  }
  return std::string(demangled.substr(begin, end - begin));
}

std::string function_name(const char* symbol) {
  // Else a C function or variable `a` would be read as a type's code.
  if (std::string_view(symbol).substr(0, 2) != "_Z") return symbol;
  int status = 0;
  char* demangled = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  if (status != 0 || demangled == nullptr) return symbol;
  std::string name = without_types(demangled);
  std::free(demangled);
  return name.empty() ? symbol : name;
}

}  // namespace netfs::lockdep
