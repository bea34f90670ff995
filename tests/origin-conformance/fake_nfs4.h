#pragma once
// What a FakeNfsServer says by version 4.0: one directory with one file, for reading, and whatever
// a test would rather have said of an operation.
//
//   FakeNfsServer server([](const NfsCall& call) {
//     return answer_4(call, [](const Nfs4Operation& asked) -> std::optional<Xdr> {
//       if (asked.operation == kNfs4Read) return Xdr().u32(kNfs4Delay);
//       return std::nullopt;
//     });
//   });

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tests/origin-conformance/fake_nfs_server.h"

namespace netfs::test {

inline constexpr uint32_t kNfs4Compound = 1;  // the procedure

// Operations.
inline constexpr uint32_t kNfs4Access = 3;
inline constexpr uint32_t kNfs4Getattr = 9;
inline constexpr uint32_t kNfs4Getfh = 10;
inline constexpr uint32_t kNfs4Lookup = 15;
inline constexpr uint32_t kNfs4Putfh = 22;
inline constexpr uint32_t kNfs4Putrootfh = 24;
inline constexpr uint32_t kNfs4Read = 25;
inline constexpr uint32_t kNfs4Readdir = 26;
inline constexpr uint32_t kNfs4Readlink = 27;

// Statuses.
inline constexpr uint32_t kNfs4NoEntry = 2;
inline constexpr uint32_t kNfs4Stale = 70;
inline constexpr uint32_t kNfs4BadCookie = 10003;
inline constexpr uint32_t kNfs4Delay = 10008;
inline constexpr uint32_t kNfs4Grace = 10013;
inline constexpr uint32_t kNfs4HandleExpired = 10014;
inline constexpr uint32_t kNfs4Resource = 10018;
inline constexpr uint32_t kNfs4NotSame = 10027;

struct Nfs4Operation {
  uint32_t operation = 0;
  std::string handle;   // that it is carried out on
  std::string name;     // of LOOKUP
  uint64_t cookie = 0;  // of READDIR
  unsigned number = 0;  // of its COMPOUND
};

// Its status, and what follows it.
using Nfs4Script = std::function<std::optional<Xdr>(const Nfs4Operation&)>;

// Nothing for what is no COMPOUND.
std::optional<NfsAnswer> answer_4(const NfsCall& call, const Nfs4Script& script);

// A whole answer, of operations with all that they say.
NfsAnswer compound_of(uint32_t status, uint32_t operations, const Xdr& said);

// Attributes of a file of that size: type, change, size, fsid, fileid, time_metadata.
std::string file_attributes_4(uint64_t fileid, uint64_t size, bool directory = false);
// One entry of a listing, without the word that says that it follows.
std::string entry_4(uint64_t cookie, const std::string& name, const std::string& attributes);

}  // namespace netfs::test
