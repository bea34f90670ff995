#include "daemon/bandwidth.h"

#include "daemon/quantity.h"
#include "telemetry/log.h"

namespace netfs::daemon {

namespace {

Result<uint64_t> parse_rate(std::string_view text) {
  if (text == "off") return uint64_t{0};
  const Result<uint64_t> bytes = parse_size(text);
  if (!bytes.ok()) {
    return Error(EINVAL, "options",
                 fmt::format("'{}' is not a bandwidth (such as 10M, 512K:10M or off)", text));
  }
  if (bytes.value() < kBandwidthLeast) {
    return Error(EINVAL, "options",
                 fmt::format("{} bytes a second is less than works: {}K at least, or off", text,
                             kBandwidthLeast >> 10));
  }
  return bytes;
}

std::string rate_text(uint64_t bytes_per_second) {
  return bytes_per_second == 0 ? "unlimited" : format_bytes(bytes_per_second) + "/s";
}

std::string rate_word(uint64_t bytes_per_second) {
  return bytes_per_second == 0 ? "off" : fmt::format("{}", bytes_per_second);
}

}  // namespace

Result<Bandwidth> parse_bandwidth(std::string_view text) {
  const size_t colon = text.find(':');
  Bandwidth bandwidth;
  bandwidth.up = TRY(parse_rate(text.substr(0, colon)));
  bandwidth.down =
      colon == std::string_view::npos ? bandwidth.up : TRY(parse_rate(text.substr(colon + 1)));
  return bandwidth;
}

std::string bandwidth_words(const Bandwidth& bandwidth) {
  return rate_word(bandwidth.up) + ":" + rate_word(bandwidth.down);
}

std::string format_bandwidth(const Bandwidth& bandwidth) {
  return "up " + rate_text(bandwidth.up) + ", down " + rate_text(bandwidth.down);
}

}  // namespace netfs::daemon
