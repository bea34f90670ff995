#pragma once
// formats: the forms of what one netfs leaves to the next: in memory, on disk, and in what
// supervisor and worker say to each other.  Pure.
//
// `netfs daemon --probe` prints those of a program, so that a running daemon knows before it hands
// its mounts over whether that program can go on with them, and whether it can take them back.
//
// Errors of decode: EPROTO with the field's name.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace netfs::daemon {

struct Format {
  uint64_t writes = 0;
  std::vector<uint64_t> reads;
};

struct Formats {
  std::string version;                 // of netfs
  std::map<std::string, Format> each;  // "arena", "cache", "journal", "link", "supervisor"
};

// Of this program.
Formats our_formats();

std::string encode(const Formats& formats);
Result<Formats> decode_formats(std::string_view text);

// Why one of them cannot go on with what the other one leaves; empty: each can.
std::string difference(const Formats& ours, const Formats& theirs);

}  // namespace netfs::daemon
