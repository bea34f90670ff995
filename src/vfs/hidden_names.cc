#include "vfs/hidden_names.h"

#include <spdlog/fmt/fmt.h>

#include "base/drawn.h"

namespace netfs::vfs {

namespace {

constexpr std::string_view kPrefix = ".netfs-";
constexpr size_t kDigits = 8;
constexpr size_t kNameBytes = kPrefix.size() + 3 * kDigits + 2;

}  // namespace

std::string HiddenNames::next() const {
  return fmt::format("{}{:08x}-{:08x}-{:08x}", kPrefix, hiding_.client, hiding_.process,
                     drawn<uint32_t>());
}

bool HiddenNames::is_left_over(std::string_view name) const {
  if (hiding_.client == 0 || name.size() != kNameBytes) return false;
  const std::string ours = fmt::format("{}{:08x}-", kPrefix, hiding_.client);
  const std::string now = fmt::format("{}{:08x}-", ours, hiding_.process);
  return name.starts_with(ours) && !name.starts_with(now);
}

}  // namespace netfs::vfs
