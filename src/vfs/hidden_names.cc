#include "vfs/hidden_names.h"

#include <spdlog/fmt/fmt.h>
#include <sys/random.h>

namespace netfs::vfs {

namespace {

constexpr std::string_view kPrefix = ".netfs-";
constexpr size_t kDigits = 8;
constexpr size_t kNameBytes = kPrefix.size() + 3 * kDigits + 2;

}  // namespace

std::string HiddenNames::next() const {
  uint32_t number = 0;
  // Cannot fail for so few bytes, once the machine has started.
  if (::getrandom(&number, sizeof number, 0) != sizeof number) number = 1;
  return fmt::format("{}{:08x}-{:08x}-{:08x}", kPrefix, hiding_.client, hiding_.process, number);
}

bool HiddenNames::is_left_over(std::string_view name) const {
  if (hiding_.client == 0 || name.size() != kNameBytes) return false;
  const std::string ours = fmt::format("{}{:08x}-", kPrefix, hiding_.client);
  const std::string now = fmt::format("{}{:08x}-", ours, hiding_.process);
  return name.starts_with(ours) && !name.starts_with(now);
}

}  // namespace netfs::vfs
