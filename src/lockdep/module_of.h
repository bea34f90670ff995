#pragma once
// module_of: which program or shared object an address lies in, and how to name a place in it so
// that other runs and processes know it: by build-id and offset.
//
// Takes no lock, not even the loader's, and allocates nothing: it may be asked wherever locks are
// taken, in signal handlers too.  What it points to lives as long as the module is loaded.
//
//   Module module;
//   if (module_of(address, module)) ...

#include <cstddef>
#include <cstdint>

namespace netfs::lockdep {

struct Module {
  const unsigned char* build_id = nullptr;  // null where the linker made none
  size_t build_id_bytes = 0;
  const char* path = nullptr;  // empty for the program itself
  uintptr_t bias = 0;          // address - bias is what the module's own tables count
};

// False: no module that is loaded has it.
[[nodiscard]] bool module_of(uintptr_t address, Module& module);

// `4f1c8e02a9b3c5d7+0x1a2b`: up to 20 bytes of the build-id, else the file's name, and the offset;
// empty for an address in no module.  Ends with a zero byte, cut where it is full.
size_t stable_place(uintptr_t address, char* text, size_t bytes);

}  // namespace netfs::lockdep
