// A module for tests, of an ABI that never was.

#include "origins/module.h"

extern "C" __attribute__((visibility("default"))) const netfs::origins::NetfsOriginModule*
netfs_origin_module() {
  static const char* const kNone[] = {nullptr};
  static const netfs::origins::NetfsOriginModule module = {9999, "foreign", "9",
                                                           {},   kNone,     nullptr};
  return &module;
}
