// HelloOrigin as a module, which is how netfs mounts it:
//
//   build/bin/netfs mount hello://world DIR
//   tail -1 DIR/squares                        # 100 squared is 10000

#include "examples/hello_origin.h"
#include "origins/module.h"

namespace {

constexpr netfs::origins::OriginTraits kTraits = {
    .on = "nothing: it makes its one file up",
    .versions = "strong: it never changes",
    .identity = "the path",
    .changes = "none",
    .locks = "here only",
};
const char* const kOptions[] = {nullptr};  // -o options of its own: none

netfs::Result<std::unique_ptr<netfs::Origin>> open_hello(
    const netfs::origins::OriginRequest& /*request*/) {
  return std::unique_ptr<netfs::Origin>(std::make_unique<hello::HelloOrigin>());
}

}  // namespace

NETFS_ORIGIN_MODULE("hello", "1.0", kTraits, kOptions, &open_hello)
