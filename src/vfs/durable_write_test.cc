// Goal: with --write=back a write under O_SYNC or O_DSYNC is durable before it is answered, also if
// the kernel does not ask for that by itself; and others are not.

#include <fcntl.h>

#include "fuse/protocol_changes.h"
#include "vfs/testing/mount_fixture.h"

namespace netfs::vfs {
namespace {

class DurableWrite : public MountFixture {
 protected:
  DurableWrite() : MountFixture({.write = WriteCapabilities{}}) {
    real_ = MUST(Library::create({.origin = origin_, .pool = pool_}));
  }
  ~DurableWrite() override { end(); }
  Library& library() override { return *real_; }
  void close_library() override { real_->close(); }

  template <class In>
  Answer call_with(Opcode opcode, NodeId node, const In& in, const std::string& rest) {
    const std::string body = std::string(reinterpret_cast<const char*>(&in), sizeof in) + rest;
    return await(kernel_->send(opcode, node, std::as_bytes(std::span(body.data(), body.size()))));
  }
  // How many syncs of the origin a write under these flags of its open file takes.
  uint64_t syncs_of_a_write(uint32_t flags) {
    const std::string name = "f" + std::to_string(flags);
    const Answer made =
        call_with(Opcode::kCreate, fuse::kRootNode,
                  proto::CreateIn{.flags = O_WRONLY | O_CREAT | flags, .mode = 0644}, name + '\0');
    EXPECT_EQ(made.error, 0);
    const auto out = made.as<proto::CreateOut>();
    const uint64_t before = tree_.counts().syncs;
    const Answer written =
        call_with(Opcode::kWrite, NodeId(out.entry.nodeid),
                  proto::WriteIn{.fh = out.open.fh, .size = 5, .flags = O_WRONLY | flags}, "bytes");
    EXPECT_EQ(written.error, 0);
    const uint64_t syncs = tree_.counts().syncs - before;
    close(NodeId(out.entry.nodeid), out.open.fh);
    return syncs;
  }

  std::unique_ptr<Library> real_;
};

TEST_F(DurableWrite, IsDurableBeforeItIsAnsweredAndOthersAreNot) {
  start({.write = Options::Write::kBack});
  EXPECT_EQ(syncs_of_a_write(0), 0U);
  EXPECT_EQ(syncs_of_a_write(O_DSYNC), 1U);
  EXPECT_EQ(syncs_of_a_write(O_SYNC), 1U);
}

}  // namespace
}  // namespace netfs::vfs
