#pragma once
// Compound: one request of version 4.0, operations that the server carries out one behind the other
// until one fails.  Answers: what it said of each.
//
// Values.  A copy of a Compound stands on its own, and may be sent as often as need be.
//
//   const Result<Shown> shown = ask_compound(
//       caller, Compound().put(handle).get_attributes(kFileMask), "nfs.getattr",
//       [](Answers& answers) -> Result<Shown> {
//         TRY(answers.skip({OP_PUTFH}));
//         const nfs_resop4 said = TRY(answers.next(OP_GETATTR));
//         ...
//       },
//       deadline);

#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "origins/nfs/call.h"
#include "origins/nfs/listing.h"
#include "origins/nfs/wire4.h"

namespace netfs::origins::nfs {

class Compound {
 public:
  Compound& put_root();
  Compound& put(const Handle& handle);
  Compound& look_up(const std::string& name);
  Compound& look_up_parent();
  Compound& get_handle();
  Compound& get_attributes(const AttributeMask& mask);
  Compound& access(uint32_t wanted);
  Compound& read_link();
  // With the state of nobody: what is read needs no open file there.
  Compound& read(uint64_t offset, uint32_t count);
  Compound& read_directory(const Cursor& from, uint32_t names_bytes, uint32_t answer_bytes,
                           const AttributeMask& mask);

  int send(rpc_context* rpc, rpc_cb answered, void* call) const;

 private:
  struct Operation {
    nfs_argop4 wire{};  // without what it points to
    std::string bytes;  // of a handle or a name
    AttributeMask mask{};
  };

  Operation& add(nfs_opnum4 operation);

  std::vector<Operation> operations_;
};

class Answers {
 public:
  // `where` is said of its errors.  Points into `came`.
  Answers(const COMPOUND4res& came, const char* where) : came_(came), where_(where) {}

  // What the next operation said, which was this one.  Else its error; EIO where another one is
  // answered, or none.
  Result<nfs_resop4> next(nfs_opnum4 operation);
  // The same of several whose answers say nothing but that they were carried out.
  Result<void> skip(std::initializer_list<nfs_opnum4> operations);

 private:
  const COMPOUND4res& came_;
  const char* const where_;
  unsigned at_ = 0;
};

// Asks it, and gives what `decode` makes of its answers.
template <class Decode>
auto ask_compound(Caller& caller, const Compound& asked, const char* where, Decode decode,
                  Deadline deadline) -> std::invoke_result_t<Decode, Answers&> {
  return caller.ask<COMPOUND4res>([asked](rpc_context* rpc, rpc_cb answered,
                                          void* call) { return asked.send(rpc, answered, call); },
                                  [decode, where](const COMPOUND4res& came) {
                                    Answers answers(came, where);
                                    return decode(answers);
                                  },
                                  deadline);
}

}  // namespace netfs::origins::nfs
