#include "tests/origin-conformance/fake_nfs4.h"

#include <algorithm>

namespace netfs::test {
namespace {

constexpr const char* kRoot = "root";
constexpr const char* kFile = "file";
constexpr uint64_t kFileBytes = 100;

// Takes its arguments.
Nfs4Operation take_operation(XdrReader& reader) {
  Nfs4Operation asked{.operation = reader.u32()};
  switch (asked.operation) {
    case kNfs4Putfh:
      asked.handle = reader.opaque();
      break;
    case kNfs4Lookup:
      asked.name = reader.opaque();
      break;
    case kNfs4Access:
      (void)reader.u32();
      break;
    case kNfs4Read:
      (void)reader.raw(16 + 8 + 4);
      break;
    case kNfs4Readdir:
      asked.cookie = reader.u64();
      (void)reader.raw(8 + 4 + 4);
      break;
    default:
      break;
  }
  if (asked.operation == kNfs4Getattr || asked.operation == kNfs4Readdir) {
    (void)reader.raw(size_t{4} * reader.u32());
  }
  return asked;
}

Xdr carry_out_4(const Nfs4Operation& asked) {
  const bool is_root = asked.handle == kRoot;
  if (!is_root && asked.handle != kFile) return Xdr().u32(kNfs4Stale);
  switch (asked.operation) {
    case kNfs4Lookup:
      return Xdr().u32(asked.name == kFile || asked.name == "exported" ? 0 : kNfs4NoEntry);
    case kNfs4Getfh:
      return Xdr().u32(0).opaque(asked.handle);
    case kNfs4Getattr:
      return Xdr().u32(0).raw(file_attributes_4(is_root ? 1 : 2, kFileBytes, is_root));
    case kNfs4Access:
      return Xdr().u32(0).u32(0x3f).u32(0x3f);
    case kNfs4Read:
      return Xdr().u32(0).u32(1).opaque(std::string(kFileBytes, 'x'));
    case kNfs4Readdir:
      return Xdr()
          .u32(0)
          .u64(7)
          .u32(1)
          .raw(entry_4(3, kFile, file_attributes_4(2, kFileBytes)))
          .u32(0)
          .u32(1);
    default:
      return Xdr().u32(0);
  }
}

}  // namespace

std::string file_attributes_4(uint64_t fileid, uint64_t size, bool directory) {
  Xdr values;
  values.u32(directory ? 2 : 1).u64(5).u64(size).u64(1).u64(2).u64(fileid);
  values.u64(1'000'000).u32(0);
  const uint32_t low = 1U << 1 | 1U << 3 | 1U << 4 | 1U << 8 | 1U << 20;
  return Xdr().u32(2).u32(low).u32(1U << (52 - 32)).opaque(values.bytes()).bytes();
}

std::string entry_4(uint64_t cookie, const std::string& name, const std::string& attributes) {
  return Xdr().u64(cookie).opaque(name).raw(attributes).bytes();
}

NfsAnswer compound_of(uint32_t status, uint32_t operations, const Xdr& said) {
  return NfsAnswer::say(Xdr().u32(status).opaque("").u32(operations).raw(said.bytes()));
}

std::optional<NfsAnswer> answer_4(const NfsCall& call, const Nfs4Script& script) {
  if (!call.is(kNfs4Compound)) return std::nullopt;
  XdrReader reader(call.arguments);
  (void)reader.opaque();
  (void)reader.u32();
  const uint32_t wanted = std::min(reader.u32(), 100U);
  Xdr said;
  std::string handle = kRoot;
  uint32_t status = 0;
  uint32_t done = 0;
  while (done < wanted && status == 0) {
    Nfs4Operation asked = take_operation(reader);
    asked.number = call.number;
    if (asked.operation == kNfs4Putfh) handle = asked.handle;
    if (asked.operation == kNfs4Putrootfh) handle = kRoot;
    asked.handle = handle;
    const Xdr answer = script(asked).value_or(carry_out_4(asked));
    if (asked.operation == kNfs4Lookup && asked.name == kFile) handle = kFile;
    status = XdrReader(answer.bytes()).u32();
    said.u32(asked.operation).raw(answer.bytes());
    ++done;
  }
  return compound_of(status, done, said);
}

}  // namespace netfs::test
