#pragma once
// libnfs's headers: the raw ones stand on what libnfs.h defines, and it has to come first.

#include <cstring>

// clang-format off
#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>
#include <nfsc/libnfs-raw-nfs4.h>
#include <nfsc/libnfs-zdr.h>
// clang-format on

namespace netfs::origins::nfs {

// libnfs puts what it decodes where there is room, aligned for nothing.
template <class Value>
Value aligned(const Value* at) {
  Value value;
  std::memcpy(static_cast<void*>(&value), static_cast<const void*>(at), sizeof value);
  return value;
}

}  // namespace netfs::origins::nfs
