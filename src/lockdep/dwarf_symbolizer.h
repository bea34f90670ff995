#pragma once
// DwarfSymbolizer: names of this process's own addresses, from its files' symbols and DWARF.
//
// Costs nothing until the first resolve(), which opens the modules that /proc/self/maps names;
// after that an address costs microseconds, and the first of a module some milliseconds.  An
// address that lies in none is looked up once more in a new list: a shared object may have come
// since.  For one that was unloaded, and another loaded over it, call refresh().
//
// Line numbers come from the file itself or from a debug file under its build-id in /usr/lib/debug;
// nothing is ever fetched from a network.  A stripped function has the names that its dynamic
// symbols give, else its module and offset.
//
// libdw (elfutils, LGPL-3 or GPL-2) is linked dynamically.  See symbolizer.h for what a caller
// owes.
//
//   DwarfSymbolizer symbolizer;
//   for (const Frame& frame : symbolizer.resolve(address)) puts(frame_text(frame).c_str());

#include <memory>

#include "lockdep/symbolizer.h"

namespace netfs::lockdep {

class DwarfSession;

class DwarfSymbolizer final : public Symbolizer {
 public:
  DwarfSymbolizer();
  ~DwarfSymbolizer() override;

  [[nodiscard]] std::vector<Frame> resolve(uintptr_t return_address) override;

  // Reads the list of modules anew before the next address.
  void refresh();

 private:
  std::unique_ptr<DwarfSession> session_;  // null until the first address
};

// The same for places in files, which no process needs to have loaded.  A file is opened once.
class FileSymbolizer {
 public:
  struct File {
    std::string path;
    std::string build_id;  // hexadecimal; empty: any
  };

  FileSymbolizer();
  ~FileSymbolizer();

  // `offset` of a return address as the file's own tables count.  A file that is not there, or has
  // another build-id, gives a frame of module and offset.
  [[nodiscard]] std::vector<Frame> resolve(const File& file, uint64_t offset);

 private:
  std::unique_ptr<DwarfSession> session_;  // null until the first place
};

}  // namespace netfs::lockdep
