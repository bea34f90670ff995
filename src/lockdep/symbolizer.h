#pragma once
// Symbolizer: gives return addresses names, for reports only.
//
// An implementation allocates, reads files and may take milliseconds: never call one under the
// validator's graph lock, nor in a signal handler.  Not thread-safe; whoever shows reports shows
// one at a time.
//
// Report writers take this interface, so that tests bring fixed names; `dwarf_symbolizer` is the
// real one.

#include <cstdint>
#include <string>
#include <vector>

namespace netfs::lockdep {

// One function at one address.  Any part may be unknown: empty or 0.
struct Frame {
  std::string function;        // readable, without parameters
  uint64_t offset = 0;         // of the return address from where the function begins
  uint64_t length = 0;         // of the function, in bytes
  std::string file;            // the source's
  int line = 0;                // from 1
  std::string module;          // path of the program or shared object
  uint64_t module_offset = 0;  // of the return address, as the module's own tables count
  bool in_program = true;      // the module is the program itself, not a shared object
  bool inlined = false;        // into the next frame; has no offset and no length
  uint64_t address = 0;        // the return address
};

class Symbolizer {
 public:
  virtual ~Symbolizer() = default;

  // The functions at a return address, innermost first: inlined ones, then the one that has the
  // code, which is the last and always there.  What is looked up is the byte before the address,
  // since the call may be a function's last instruction.
  [[nodiscard]] virtual std::vector<Frame> resolve(uintptr_t return_address) = 0;
};

// As the kernel writes it, with the source behind it:
//     symbol+0xoff/0xlen  file:line
//     symbol+0xoff/0xlen [libx.so]  file:line
//     symbol  file:line [inlined]
//     libx.so+0xoff               no symbol known
//     0x00007f0012345678          no module known
[[nodiscard]] std::string frame_text(const Frame& frame);

}  // namespace netfs::lockdep
