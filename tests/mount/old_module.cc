// An origin module of an ABI that there never was, for tests of its refusal.

#include "origins/module.h"

namespace {

const char* const kNoOptions[] = {nullptr};

netfs::Result<std::unique_ptr<netfs::Origin>> refuse(const netfs::origins::OriginRequest&) {
  return netfs::Error(EPROTO, "old_module");
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const netfs::origins::NetfsOriginModule*
netfs_origin_module() {
  static const netfs::origins::NetfsOriginModule module = {9999, "sftp",     "9",
                                                           {},   kNoOptions, refuse};
  return &module;
}
