#pragma once
// data_symbol: the name of the object at an address of a loaded module: `queue_lock`,
// `forks+0x28`, or `libx.so+0x4040` where no symbol is known.
//
// Reads the module's file (.symtab, else .dynsym).  Takes no memory of the program's; for reports
// only.

#include <cstdint>
#include <string>

namespace netfs::lockdep_preload {

[[nodiscard]] std::string data_symbol(uintptr_t address);

}  // namespace netfs::lockdep_preload
