#pragma once
// function_name: a linker's symbol as a person would call the function.
//
// Pure, thread-safe.  Mangled C++ names are demangled, then lose their return type and parameters:
// a stack is read by names, and types of templates fill lines.  Other names stay as they are.
//
//   function_name("_ZN5netfs4Disk4readEm") == "netfs::Disk::read"

#include <string>
#include <string_view>

namespace netfs::lockdep {

[[nodiscard]] std::string function_name(const char* symbol);

// A demangled name without return type, parameters and qualifiers.
[[nodiscard]] std::string without_types(std::string_view demangled);

}  // namespace netfs::lockdep
