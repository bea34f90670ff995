#pragma once
// libnfs's headers: the raw ones stand on what libnfs.h defines, and it has to come first.

// clang-format off
#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>
#include <nfsc/libnfs-zdr.h>
// clang-format on
