#include "lockdep_preload/class_words.h"

#include <cstring>
#include <dlfcn.h>
#include <link.h>

#include "lockdep_preload/data_symbol.h"
#include "lockdep_preload/site.h"

namespace netfs::lockdep_preload {

namespace {

const char* kind_word(Kind kind) {
  switch (kind) {
    case Kind::kMutex:
    case Kind::kC11Mutex:
      return "mutex";
    case Kind::kRwlock:
      return "rwlock";
    case Kind::kSpin:
      return "spinlock";
    case Kind::kOnce:
      return "once";
    case Kind::kGuard:
      return "static initialisation";
    case Kind::kSemaphore:
      return "semaphore";
    case Kind::kBarrier:
      return "barrier";
    case Kind::kThread:
      return "thread";
    case Kind::kLoader:
      return "dlopen";
  }
  return "lock";
}

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// Wrappers that stand between a program's function and the pthread call.
bool is_wrapper(const std::string& function) {
  return function.rfind("std::", 0) == 0 || function.rfind("__gthread", 0) == 0 ||
         function.rfind("__gnu_cxx::", 0) == 0;
}

std::string place(uintptr_t at, lockdep::Symbolizer& symbolizer) {
  const std::vector<lockdep::Frame> frames = symbolizer.resolve(at);
  const lockdep::Frame* best = &frames.back();
  for (const lockdep::Frame& frame : frames) {
    if (frame.function.empty() || is_wrapper(frame.function)) continue;
    best = &frame;
    break;
  }
  std::string out = best->function;
  if (out.empty()) {
    char offset[32];
    std::snprintf(offset, sizeof offset, "+0x%llx",
                  static_cast<unsigned long long>(best->module_offset));
    return base_name(best->module) + offset;
  }
  if (!best->file.empty())
    return out + " " + base_name(best->file) + ":" + std::to_string(best->line);
  if (!best->in_program) out += " [" + base_name(best->module) + "]";
  return out;
}

}  // namespace

std::string class_words(const char* name, lockdep::Symbolizer& symbolizer) {
  uint32_t number = 0;
  const Site* site = site_by_name(name, &number);
  if (site == nullptr) return name;
  std::string out;
  switch (site->origin) {
    case Origin::kStatic:
      out = site->kind == Kind::kLoader ? "the dynamic loader's lock" : data_symbol(site->at);
      break;
    case Origin::kInit:
      out = std::string(kind_word(site->kind)) + " made in " + place(site->at, symbolizer);
      break;
    case Origin::kAllocated:
      out = std::string(kind_word(site->kind)) + " allocated in " + place(site->at, symbolizer);
      if (site->offset_bytes != 0) out += " +" + std::to_string(site->offset_bytes);
      break;
    case Origin::kFirst:
      out = std::string(kind_word(site->kind)) + " first locked in " + place(site->at, symbolizer);
      break;
    case Origin::kStack:
      out =
          "local " + std::string(kind_word(site->kind)) + " of " + place(site->at + 1, symbolizer);
      break;
    case Origin::kStart:
      out = "thread " + place(site->at + 1, symbolizer);
      break;
  }
  if (number != 0) out += " #" + std::to_string(number);
  return out;
}

}  // namespace netfs::lockdep_preload
