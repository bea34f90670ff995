#pragma once
// libcephfs's header, which stands on what dirent.h defines.

// clang-format off
#include <dirent.h>
#include <cephfs/libcephfs.h>
// clang-format on
