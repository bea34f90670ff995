#include "lockdep/dwarf_symbolizer.h"

#include <array>
#include <cstdlib>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <map>
#include <string_view>
#include <unistd.h>

#include "lockdep/function_name.h"

namespace netfs::lockdep {
namespace {

std::string program_path() {
  std::array<char, 4096> path;
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  return length > 0 ? std::string(path.data(), static_cast<size_t>(length)) : std::string();
}

// `a/../b` as `b`: builds that name sources relative to their own folder make such paths.
std::string tidy_path(std::string path) {
  for (size_t up = path.find("/../"); up != std::string::npos && up > 0; up = path.find("/../")) {
    const size_t parent = path.rfind('/', up - 1);
    const size_t begin = parent == std::string::npos ? 0 : parent + 1;
    if (path.compare(begin, up - begin, "..") == 0) break;  // `../../b` stays
    path.erase(begin, up + 4 - begin);
  }
  return path;
}

// The entry that says where a function belongs: an inlined or separately defined one refers to it.
Dwarf_Die declaration_of(Dwarf_Die die) {
  constexpr int kReferencesMax = 8;  // a chain in a sound file has two
  for (int i = 0; i < kReferencesMax; ++i) {
    Dwarf_Attribute attribute;
    Dwarf_Attribute* reference = dwarf_attr(&die, DW_AT_abstract_origin, &attribute);
    if (reference == nullptr) reference = dwarf_attr(&die, DW_AT_specification, &attribute);
    Dwarf_Die target;
    if (reference == nullptr || dwarf_formref_die(reference, &target) == nullptr) break;
    die = target;
  }
  return die;
}

// For a function that the linker never sees: its name behind those of its namespaces and types.
std::string scoped_name(Dwarf_Die* function) {
  const char* own = dwarf_diename(function);
  if (own == nullptr) return {};
  std::string name = own;
  Dwarf_Die declaration = declaration_of(*function);
  Dwarf_Die* scopes = nullptr;
  const int count = dwarf_getscopes_die(&declaration, &scopes);
  for (int i = 1; i < count; ++i) {
    const int tag = dwarf_tag(&scopes[i]);
    const char* scope = dwarf_diename(&scopes[i]);
    if (tag == DW_TAG_namespace) {
      name.insert(0, std::string(scope != nullptr ? scope : "(anonymous namespace)") + "::");
    } else if ((tag == DW_TAG_class_type || tag == DW_TAG_structure_type) && scope != nullptr) {
      name.insert(0, std::string(scope) + "::");
    }
  }
  std::free(scopes);
  return name;
}

std::string name_of(Dwarf_Die* function) {
  Dwarf_Attribute attribute;
  for (const unsigned name : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    const char* text = dwarf_formstring(dwarf_attr_integrate(function, name, &attribute));
    if (text != nullptr) return function_name(text);
  }
  return scoped_name(function);
}

int number_of(Dwarf_Die* die, unsigned name) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (dwarf_formudata(dwarf_attr(die, name, &attribute), &value) != 0) return 0;
  return static_cast<int>(value);
}

// A dynamic symbol may have its version behind it: dlopen@GLIBC_2.2.5.
std::string without_version(const char* symbol) {
  const std::string_view name = symbol;
  return std::string(name.substr(0, name.find('@')));
}

// Where a function was inlined: the file and line of the call.
void set_call_place(Dwarf_Die* unit, Dwarf_Die* inlined, Frame& frame) {
  Dwarf_Files* files = nullptr;
  frame.file.clear();
  frame.line = number_of(inlined, DW_AT_call_line);
  if (dwarf_getsrcfiles(unit, &files, nullptr) != 0) return;
  const auto index = static_cast<size_t>(number_of(inlined, DW_AT_call_file));
  const char* name = dwarf_filesrc(files, index, nullptr, nullptr);
  if (name != nullptr) frame.file = tidy_path(name);
}

}  // namespace

class DwarfSession {
 public:
  // Of this process, or of files that are named one by one.
  enum class Of : uint8_t { kProcess, kFiles };
  explicit DwarfSession(Of of)
      : dwfl_(dwfl_begin(of == Of::kProcess ? &kCallbacks : &kFileCallbacks)),
        program_(program_path()) {
    if (of == Of::kProcess) list_modules();
  }
  ~DwarfSession() { dwfl_end(dwfl_); }
  DwarfSession(const DwarfSession&) = delete;
  DwarfSession& operator=(const DwarfSession&) = delete;

  void list_modules() {
    if (dwfl_ == nullptr) return;
    dwfl_report_begin(dwfl_);
    dwfl_linux_proc_report(dwfl_, getpid());
    dwfl_report_end(dwfl_, nullptr, nullptr);
  }

  std::vector<Frame> resolve(uintptr_t return_address) {
    Frame frame;
    frame.address = return_address;
    if (dwfl_ == nullptr || return_address == 0) return {frame};
    const Dwarf_Addr call = return_address - 1;
    Dwfl_Module* module = module_at(call);
    if (module == nullptr) {
      list_modules();
      module = module_at(call);
      if (module == nullptr) return {frame};
    }
    return frames_at(module, frame);
  }

  std::vector<Frame> resolve_in(const FileSymbolizer::File& file, uint64_t offset) {
    Frame frame;
    frame.module = file.path;
    frame.module_offset = offset;
    frame.in_program = false;
    Dwfl_Module* module = module_of_file(file);
    GElf_Addr bias = 0;
    if (module == nullptr || dwfl_module_getelf(module, &bias) == nullptr) return {frame};
    frame.address = offset + bias;
    std::vector<Frame> frames = frames_at(module, frame);
    for (Frame& found : frames) {
      found.address = offset;  // where this session put the file says nothing to anybody
      found.in_program = false;
      found.module = file.path;
    }
    return frames;
  }

 private:
  std::vector<Frame> frames_at(Dwfl_Module* module, Frame frame) {
    const Dwarf_Addr call = frame.address - 1;
    set_module(module, frame);
    set_symbol(module, call, frame);
    Dwarf_Addr bias = 0;
    Dwarf_Die* unit = unit_at(module, call, bias);
    if (unit == nullptr) return {frame};
    set_line(unit, call - bias, frame);
    return with_inlined(unit, call - bias, frame);
  }

  // Of the two ways to debug files libdwfl offers, the one that asks no server.
  static constexpr Dwfl_Callbacks kCallbacks = {
      .find_elf = dwfl_linux_proc_find_elf,
      .find_debuginfo = dwfl_build_id_find_debuginfo,
      .section_address = nullptr,
      .debuginfo_path = nullptr,
  };

  static constexpr Dwfl_Callbacks kFileCallbacks = {
      .find_elf = dwfl_build_id_find_elf,
      .find_debuginfo = dwfl_build_id_find_debuginfo,
      .section_address = dwfl_offline_section_address,
      .debuginfo_path = nullptr,
  };

  // Null where there is no such file, or only one with another build-id.
  Dwfl_Module* module_of_file(const FileSymbolizer::File& file) {
    if (dwfl_ == nullptr) return nullptr;
    const std::string name = file.build_id + " " + file.path;
    const auto known = files_.find(name);
    if (known != files_.end()) return known->second;
    dwfl_report_begin_add(dwfl_);
    Dwfl_Module* module = dwfl_report_offline(dwfl_, name.c_str(), file.path.c_str(), -1);
    dwfl_report_end(dwfl_, nullptr, nullptr);
    GElf_Addr bias = 0;
    if (module != nullptr && dwfl_module_getelf(module, &bias) == nullptr) module = nullptr;
    if (module != nullptr && !file.build_id.empty() && build_id_of(module) != file.build_id) {
      module = nullptr;
    }
    return files_[name] = module;
  }

  static std::string build_id_of(Dwfl_Module* module) {
    const unsigned char* bits = nullptr;
    GElf_Addr where = 0;
    const int bytes = dwfl_module_build_id(module, &bits, &where);
    std::string id;
    for (int i = 0; i < bytes; ++i) {
      id += "0123456789abcdef"[bits[i] >> 4];
      id += "0123456789abcdef"[bits[i] & 15];
    }
    return id;
  }

  // libdwfl gives the gap behind a module to that module; a new one may have been loaded there.
  Dwfl_Module* module_at(Dwarf_Addr address) {
    Dwfl_Module* module = dwfl_addrmodule(dwfl_, address);
    if (module == nullptr) return nullptr;
    Dwarf_Addr begin = 0;
    Dwarf_Addr end = 0;
    dwfl_module_info(module, nullptr, &begin, &end, nullptr, nullptr, nullptr, nullptr);
    return address >= begin && address < end ? module : nullptr;
  }

  void set_module(Dwfl_Module* module, Frame& frame) const {
    Dwarf_Addr start = 0;
    const char* file = nullptr;
    const char* name =
        dwfl_module_info(module, nullptr, &start, nullptr, nullptr, nullptr, &file, nullptr);
    GElf_Addr bias = start;
    dwfl_module_getelf(module, &bias);  // opens the file; only then is its name known
    dwfl_module_info(module, nullptr, nullptr, nullptr, nullptr, nullptr, &file, nullptr);
    if (file != nullptr) {
      frame.module = file;
    } else if (name != nullptr) {
      frame.module = name;
    }
    frame.module_offset = frame.address - bias;
    frame.in_program = frame.module == program_;
  }

  static void set_symbol(Dwfl_Module* module, Dwarf_Addr call, Frame& frame) {
    GElf_Off offset = 0;
    GElf_Sym symbol{};
    const char* name =
        dwfl_module_addrinfo(module, call, &offset, &symbol, nullptr, nullptr, nullptr);
    // A symbol without size is the nearest before the address, which says little.
    if (name == nullptr || symbol.st_size == 0) return;
    frame.function = function_name(without_version(name).c_str());
    frame.offset = offset + 1;
    frame.length = symbol.st_size;
  }

  // The compilation unit of an address.  clang writes no table of address ranges, so that units are
  // asked one by one where the table has none.
  static Dwarf_Die* unit_at(Dwfl_Module* module, Dwarf_Addr call, Dwarf_Addr& bias) {
    if (Dwarf_Die* unit = dwfl_module_addrdie(module, call, &bias); unit != nullptr) return unit;
    Dwarf_Die* unit = nullptr;
    while ((unit = dwfl_module_nextcu(module, unit, &bias)) != nullptr) {
      if (dwarf_haspc(unit, call - bias) == 1) return unit;
    }
    return nullptr;
  }

  static void set_line(Dwarf_Die* unit, Dwarf_Addr address, Frame& frame) {
    Dwarf_Line* line = dwarf_getsrc_die(unit, address);
    if (line == nullptr) return;
    dwarf_lineno(line, &frame.line);
    const char* file = dwarf_linesrc(line, nullptr, nullptr);
    if (file != nullptr) frame.file = tidy_path(file);
  }

  // The function at an address, and the blocks and inlined functions in it, outermost first.  Our
  // own walk: libdw's ends at the first entry of clang's whose addresses it cannot read.
  static void add_scopes(Dwarf_Die* parent, Dwarf_Addr address, std::vector<Dwarf_Die>& scopes) {
    Dwarf_Die child{};
    if (dwarf_child(parent, &child) != 0) return;
    do {
      const int tag = dwarf_tag(&child);
      const size_t before = scopes.size();
      if (tag == DW_TAG_namespace) {
        add_scopes(&child, address, scopes);
      } else if ((tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine ||
                  tag == DW_TAG_lexical_block) &&
                 dwarf_haspc(&child, address) == 1) {
        scopes.push_back(child);
        add_scopes(&child, address, scopes);
      }
      if (scopes.size() > before) return;
    } while (dwarf_siblingof(&child, &child) == 0);
  }

  // What DWARF knows of functions inlined at the address.  `physical` has the innermost line: it
  // goes to the innermost function, and each outer one gets the line of the call in it.
  static std::vector<Frame> with_inlined(Dwarf_Die* unit, Dwarf_Addr address, Frame physical) {
    std::vector<Frame> frames;
    std::vector<Dwarf_Die> scopes;
    add_scopes(unit, address, scopes);
    for (size_t i = scopes.size(); i-- > 0;) {  // innermost first
      Dwarf_Die* scope = &scopes[i];
      const int tag = dwarf_tag(scope);
      if (tag == DW_TAG_subprogram) {
        if (physical.function.empty()) physical.function = name_of(scope);
        break;
      }
      if (tag != DW_TAG_inlined_subroutine) continue;
      Frame inlined = physical;
      inlined.function = name_of(scope);
      inlined.inlined = true;
      inlined.offset = inlined.length = 0;
      if (!inlined.function.empty()) frames.push_back(std::move(inlined));
      set_call_place(unit, scope, physical);
    }
    frames.push_back(std::move(physical));
    return frames;
  }

  Dwfl* dwfl_;
  std::string program_;
  std::map<std::string, Dwfl_Module*> files_;
};

DwarfSymbolizer::DwarfSymbolizer() = default;
DwarfSymbolizer::~DwarfSymbolizer() = default;

std::vector<Frame> DwarfSymbolizer::resolve(uintptr_t return_address) {
  if (session_ == nullptr) session_ = std::make_unique<DwarfSession>(DwarfSession::Of::kProcess);
  return session_->resolve(return_address);
}

FileSymbolizer::FileSymbolizer() = default;
FileSymbolizer::~FileSymbolizer() = default;

std::vector<Frame> FileSymbolizer::resolve(const File& file, uint64_t offset) {
  if (session_ == nullptr) session_ = std::make_unique<DwarfSession>(DwarfSession::Of::kFiles);
  return session_->resolve_in(file, offset);
}

void DwarfSymbolizer::refresh() {
  if (session_ != nullptr) session_->list_modules();
}

}  // namespace netfs::lockdep
