#include "origins/http/stream_record.h"

#include <algorithm>
#include <spdlog/fmt/fmt.h>

namespace netfs::origins::http {

namespace {

constexpr size_t kRecordsMax = 256;
// So many bytes may be downloaded for each that is read ...
constexpr uint64_t kPassedPerDelivered = 16;
// ... once this much was.
constexpr uint64_t kFairStartBytes = uint64_t{1} << 30;

}  // namespace

bool StreamRecord::wasteful(ByteRange range) const {
  if (range.offset_bytes / kPassedPerDelivered <= range.length_bytes) return false;
  return passed_bytes > kFairStartBytes && passed_bytes / kPassedPerDelivered > delivered_bytes;
}

Ref<StreamRecord> StreamRecords::of(const ReadSource& source) {
  const Edition& edition = source.edition;
  const std::string key = fmt::format("{} {} {} {}", source.url, edition.size_bytes,
                                      edition.mtime_seconds, edition.validator.bytes);
  const auto found = std::find_if(records_.begin(), records_.end(),
                                  [&](const auto& record) { return record.first == key; });
  if (found != records_.end()) {
    records_.splice(records_.begin(), records_, found);
  } else {
    records_.emplace_front(key, make_ref<StreamRecord>());
    if (records_.size() > kRecordsMax) records_.pop_back();
  }
  return records_.front().second;
}

}  // namespace netfs::origins::http
