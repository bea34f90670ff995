#pragma once
// HelloOrigin: an origin of one's own: a tree of one generated file.
//
// Five short functions are all that a simple origin is: volume_key, stat, list, open, read.  They
// may block; BlockingOrigin calls them from threads of its own.

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "netfs/blocking_origin.h"

namespace hello {

using namespace netfs;  // NOLINT: an example

class HelloOrigin final : public BlockingOrigin {
 public:
  HelloOrigin() : BlockingOrigin({.name = "hello", .threads = 2}) {
    for (int i = 1; i <= 100; ++i) {
      squares_ += std::to_string(i) + " squared is " + std::to_string(i * i) + "\n";
    }
  }
  ~HelloOrigin() override { stop(); }

  [[nodiscard]] std::string volume_key() const override { return "hello:"; }

  Result<NodeInfo> stat(const std::string& path, Deadline /*deadline*/) override {
    NodeInfo info;
    info.attributes.type = path.empty() ? FileType::kDirectory : FileType::kRegular;
    info.attributes.permissions = path.empty() ? 0555 : 0444;
    if (!path.empty() && path != "squares") return Error(ENOENT, "hello.stat");
    if (!path.empty()) info.attributes.size_bytes = squares_.size();
    info.validator = {.strength = ValidatorStrength::kStrong, .bytes = "1"};  // never changes
    return info;
  }
  Result<void> list(const std::string& path, Deadline deadline, const EntrySink& sink) override {
    if (!path.empty()) return Error(ENOTDIR, "hello.list");
    return sink({.name = "squares", .info = TRY(stat("squares", deadline))});
  }
  Result<std::unique_ptr<OriginFile>> open(const std::string& /*path*/,
                                           Deadline /*deadline*/) override {
    return std::make_unique<OriginFile>();
  }
  Result<uint64_t> read(OriginFile& /*file*/, uint64_t offset_bytes, std::span<std::byte> to,
                        Deadline /*deadline*/) override {
    if (offset_bytes >= squares_.size()) return uint64_t{0};
    const size_t count = std::min(to.size(), squares_.size() - offset_bytes);
    std::memcpy(to.data(), squares_.data() + offset_bytes, count);
    return uint64_t{count};
  }

 private:
  std::string squares_;
};

}  // namespace hello
