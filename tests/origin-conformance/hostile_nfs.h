#pragma once
// HostileNfs: an origin over a FakeNfsServer that does what a test's script says.

#include <chrono>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "netfs/origin_writer.h"
#include "origins/module_loader.h"
#include "tests/origin-conformance/fake_nfs_server.h"
#include "tests/origin-conformance/waited_write.h"
#include "tests/support/wait.h"

namespace netfs::test {

inline constexpr std::chrono::seconds kPatience{20};

using Said = std::optional<NfsAnswer>;

class HostileNfs : public testing::Test {
 protected:
  void serve(FakeNfsServer::Script script) {
    server_ = std::make_unique<FakeNfsServer>(std::move(script));
  }
  Result<std::unique_ptr<Origin>> try_open(Duration timeout = std::chrono::seconds(5)) {
    return origins::open_origin(
        {.url = MUST(origins::Url::parse(server_->url())), .timeout = timeout});
  }
  OriginWriter& open(Duration timeout = std::chrono::seconds(5)) {
    Result<std::unique_ptr<Origin>> origin = try_open(timeout);
    EXPECT_TRUE(origin.ok()) << origin.error().message();
    origin_ = std::move(origin).value();
    return *origin_->writer();
  }
  static Deadline in(Duration timeout) { return Deadline::after(Clock::system(), timeout); }
  static Deadline soon() { return in(kPatience); }
  std::string field(const std::string& name) {
    for (const auto& [key, value] : origin_->status()) {
      if (key == name) return value;
    }
    return "";
  }
  OpenedFile create(const std::string& path) {
    return MUST(origin_->writer()->create(path, {.permissions = 0644}, soon()));
  }
  Result<uint64_t> write(const OpenedFile& opened, uint64_t offset, const std::string& bytes) {
    return WaitedWrite(*opened.file, offset, bytes).run(*origin_->writer()).transferred_bytes;
  }
  // COMMIT's, of the server's life `verifier`.
  static NfsAnswer committed(uint64_t verifier) {
    return NfsAnswer::say(Xdr().u32(0).u32(0).u32(0).u64(verifier));
  }
  Result<std::map<std::string, NodeInfo>> list() {
    std::map<std::string, NodeInfo> names;
    TRY(origin_->list("", soon(), [&](const OriginEntry& entry) {
      names[entry.name] = entry.info;
      return Result<void>();
    }));
    return names;
  }

  std::unique_ptr<FakeNfsServer> server_;
  std::unique_ptr<Origin> origin_;
};

}  // namespace netfs::test
