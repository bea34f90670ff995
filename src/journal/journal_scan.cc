#include "journal/journal_scan.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <spdlog/fmt/fmt.h>

#include "telemetry/log.h"

namespace netfs::journal {

namespace {

constexpr size_t kFrontBytesMax = kRecordHeaderBytes + kBodyBytesMax;
constexpr std::string_view kSuffix = ".segment";

std::optional<uint64_t> number_of(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number, 16);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

// Of a segment or of what was kept of one: no name is given twice.
uint64_t number_in(std::string_view name) {
  constexpr std::string_view kDamaged = "damaged-";
  constexpr std::string_view kKept = ".damaged";
  if (name.starts_with(kDamaged)) {
    return number_of(std::string(name.substr(kDamaged.size())).append(kSuffix)).value_or(0);
  }
  if (name.ends_with(kKept)) name.remove_suffix(kKept.size());
  return number_of(name).value_or(0);
}

// The record at the front of `bytes`, if one is there and whole.
struct Whole {
  Record record;
  RecordHeader header;
};
std::optional<Whole> whole_record(std::string_view bytes) {
  const std::optional<RecordHeader> header = decode_record_header(bytes);
  if (!header || header->bytes() > bytes.size()) return std::nullopt;
  const size_t front = kRecordHeaderBytes + header->body_bytes;
  std::optional<Record> record = decode_record(bytes.substr(0, front));
  if (!record || !is_data_of(*header, bytes_of(bytes.substr(front, header->data_bytes)))) {
    return std::nullopt;
  }
  return Whole{std::move(*record), *header};
}

// Where at or behind `at` the first word begins that is not zero; the end, if none does.
size_t behind_zeroes(std::string_view bytes, size_t at) {
  for (; at + kRecordAlign <= bytes.size(); at += kRecordAlign) {
    uint64_t word = 0;
    static_assert(sizeof word == kRecordAlign);
    std::memcpy(&word, bytes.data() + at, sizeof word);
    if (word != 0) return at;
  }
  return std::min(bytes.find_first_not_of('\0', at), bytes.size());
}

// The room counts all the same: on some disks zeroes that were written look like it, and a record
// may end in them.  So much of it is taken in that the record at `at` is whole.
void reach(std::string& bytes, size_t at, uint64_t size_bytes) {
  if (at >= bytes.size()) return;
  const std::optional<RecordHeader> header =
      decode_record_header(std::string_view(bytes).substr(at));
  if (!header) return;
  const uint64_t needed = std::min<uint64_t>(at + header->bytes(), size_bytes);
  if (needed > bytes.size()) bytes.resize(needed, '\0');
}

class Scan {
 public:
  Scan(cachefiles::Disk& disk, const std::string& directory, const std::string& volume_key,
       ScanFor what, const RecordSink& sink, JournalForm ours)
      : disk_(disk),
        directory_(directory),
        volume_key_(volume_key),
        what_(what),
        sink_(sink),
        ours_(ours) {}

  Result<Scanned> run() {
    std::map<uint64_t, std::string> found;
    TRY(disk_.list(directory_, [&](const std::string& name) {
      const std::optional<uint64_t> number = number_of(name);
      scanned_.next_number = std::max(scanned_.next_number, number_in(name) + 1);
      if (number) found.emplace(*number, directory_ + "/" + name);
    }));
    for (const auto& [number, path] : found) {
      TRY(take(number, path));
    }
    look_for_damage(rest_);
    if (damaged_) {
      scanned_.damage = fmt::format(
          "the journal in {} is damaged at change {}; {} changes behind it are set aside, not "
          "carried out",
          directory_, scanned_.next_sequence, readable_behind_);
    }
    if (what_ == ScanFor::kUse) TRY(clear_away());
    scanned_.durable = std::min(durable_, scanned_.next_sequence - 1);
    return std::move(scanned_);
  }

 private:
  // What comes behind the end, or is nothing at all.
  struct Behind {
    uint64_t number = 0;
    std::string path;
    bool readable = false;  // there are records in it
  };

  Result<void> take(uint64_t number, const std::string& path) {
    SegmentRef segment = std::make_shared<Segment>();
    segment->path = path;
    segment->number = number;
    const bool looks = what_ == ScanFor::kLook;
    segment->file = TRY(
        disk_.open(path, looks ? cachefiles::OpenMode::kRead : cachefiles::OpenMode::kReadWrite));
    segment->size_bytes = TRY(segment->file->stat()).size_bytes;
    // Most of it is room, which is neither read nor looked at: users may wait.
    const uint64_t end = std::min(TRY(segment->file->data_end()), segment->size_bytes);
    std::string bytes(std::min<uint64_t>(end + kFrontBytesMax, segment->size_bytes), '\0');
    TRY(segment->file->read(0, {reinterpret_cast<std::byte*>(bytes.data()), end}));
    reach(bytes, kSegmentHeaderBytes, segment->size_bytes);
    const std::optional<uint32_t> other = other_format(bytes);
    if (other) {
      return Error(EPROTONOSUPPORT, "journal.open",
                   fmt::format("{} holds changes in format {}, which this netfs cannot read: mount "
                               "the tree with the netfs that wrote them, and netfs sync uploads "
                               "them",
                               directory_, *other));
    }
    const std::optional<SegmentHeader> header = decode_segment_header(bytes);
    const int unknown = header ? header->form.incompatible & ~ours_.incompatible : 0;
    if (unknown != 0) {
      return Error(EPROTONOSUPPORT, "journal.open",
                   fmt::format("{} holds changes with additions ({:#x}) that this netfs cannot "
                               "read: mount the tree with the netfs that wrote them, and netfs "
                               "sync uploads them",
                               directory_, unknown));
    }
    if (header && header->volume_key != volume_key_) {
      return Error(EBADMSG, "journal.open",
                   fmt::format("{} is the journal of another tree", directory_));
    }
    if (header) scanned_.generation = std::max(scanned_.generation, header->generation);
    // Nothing of it was on the disk when power went: what comes behind it is no worse.
    if (behind_zeroes(bytes, 0) == bytes.size()) return pass_over(number, path);
    const size_t behind_header = std::min(bytes.size(), kSegmentHeaderBytes);
    const std::string_view records = std::string_view(bytes).substr(behind_header);
    const bool is_empty = behind_zeroes(records, 0) == records.size();
    const uint64_t first = header && header->number == number ? first_sequence(bytes) : 0;
    // An empty one was made when nothing came any more; one that begins with what cannot be read
    // is where the journal ends.
    const bool due = first != 0 && (first_ || first == scanned_.next_sequence);
    const bool follows = header && header->number == number && (is_empty || due);
    if (ended_ || !follows) {
      // What is missing is what is due, or what comes first in it.
      if (first_ && header) scanned_.next_sequence = header->first_sequence;
      first_ = false;
      const uint64_t before = readable_behind_;
      look_for_damage(records);
      behind_.push_back({number, path, readable_behind_ > before});
      ended_ = true;
      return {};
    }
    if (first_) scanned_.next_sequence = first != 0 ? first : header->first_sequence;
    first_ = false;
    const size_t rest = take_records(segment, bytes);
    // Nobody will use it: its process has ended.
    const uint64_t used = std::max<uint64_t>(end, rest);
    if (!looks && !is_empty && used < segment->size_bytes && segment->file->truncate(used).ok()) {
      segment->size_bytes = used;
    }
    scanned_.segments.push_back(segment);
    if (is_empty) return {};
    scanned_.last_begins = first;
    rest_ = bytes.substr(rest);
    rest_number_ = number;
    return {};
  }

  Result<void> pass_over(uint64_t number, const std::string& path) {
    behind_.push_back({number, path, false});
    return {};
  }

  // Of its first record; 0: that cannot be read.
  static uint64_t first_sequence(std::string_view bytes) {
    if (bytes.size() < kSegmentHeaderBytes) return 0;
    const std::optional<Whole> whole = whole_record(bytes.substr(kSegmentHeaderBytes));
    return whole ? whole->record.sequence : 0;
  }

  // Returns where they end.
  size_t take_records(const SegmentRef& segment, std::string& bytes) {
    size_t at = kSegmentHeaderBytes;
    while (at < bytes.size()) {
      reach(bytes, at, segment->size_bytes);
      const std::optional<Whole> whole = whole_record(std::string_view(bytes).substr(at));
      if (!whole || whole->record.sequence != scanned_.next_sequence) break;
      if (!is_addition(whole->record.kind)) {
        sink_(whole->record, {segment, at, whole->record.sequence, whole->header.body_bytes,
                              whole->header.data_bytes});
      }
      segment->last_sequence = whole->record.sequence;
      durable_ = std::max(durable_, whole->header.durable);
      ++scanned_.next_sequence;
      at += whole->header.bytes();
    }
    return std::min(at, bytes.size());
  }

  // Records that can be read though one before them is missing, and what they say of it.
  void look_for_damage(std::string_view rest) {
    for (size_t at = 0; at + kRecordHeaderBytes <= rest.size();) {
      const std::optional<RecordHeader> header = decode_record_header(rest.substr(at));
      const size_t front = header ? kRecordHeaderBytes + header->body_bytes : 0;
      const bool good =
          header && at + front <= rest.size() && decode_record(rest.substr(at, front)).has_value();
      if (good && header->sequence >= scanned_.next_sequence) {
        ++readable_behind_;
        if (header->durable >= scanned_.next_sequence) damaged_ = true;
      }
      at = good ? at + header->bytes() : behind_zeroes(rest, at + kRecordAlign);
    }
  }

  // Files behind the end go: kept under another name if there is something in them.
  Result<void> clear_away() {
    if (damaged_) TRY(keep_rest());
    for (const Behind& one : behind_) {
      if (damaged_ || one.readable) {
        TRY(disk_.rename(one.path, damaged_path(one.number)));
        telemetry::log_warn("journal", "{} is behind the end of its journal: kept as {}", one.path,
                            damaged_path(one.number));
      } else {
        TRY(disk_.remove(one.path));
      }
    }
    return behind_.empty() ? Result<void>() : disk_.sync_directory(directory_);
  }

  // What is behind the last whole record of a segment goes into a file of its own now: at the next
  // opening it will look as if the journal went on in the next segment.
  Result<void> keep_rest() {
    const size_t end = rest_.find_last_not_of('\0');
    if (end == std::string::npos) return {};
    const std::unique_ptr<cachefiles::DiskFile> file =
        TRY(disk_.open(damaged_path(rest_number_), cachefiles::OpenMode::kCreate));
    TRY(file->truncate(0));
    TRY(file->write(0, bytes_of(std::string_view(rest_).substr(0, end + 1))));
    TRY(file->sync_data());
    return disk_.sync_directory(directory_);
  }

  [[nodiscard]] std::string damaged_path(uint64_t number) const {
    return fmt::format("{}/damaged-{:016x}", directory_, number);
  }

  cachefiles::Disk& disk_;
  const std::string& directory_;
  const std::string& volume_key_;
  const ScanFor what_;
  const RecordSink& sink_;
  const JournalForm ours_;
  Scanned scanned_;
  std::string rest_;  // of the last segment with records: what is behind the last of them
  uint64_t rest_number_ = 0;
  uint64_t durable_ = 0;  // up to there a process before this one had synced
  std::vector<Behind> behind_;
  bool first_ = true;
  bool ended_ = false;
  bool damaged_ = false;
  uint64_t readable_behind_ = 0;
};

}  // namespace

std::string segment_path(const std::string& directory, uint64_t number) {
  return fmt::format("{}/{:016x}{}", directory, number, kSuffix);
}

Result<Scanned> scan_journal(cachefiles::Disk& disk, const std::string& directory,
                             const std::string& volume_key, ScanFor what, const RecordSink& sink,
                             JournalForm ours) {
  return Scan(disk, directory, volume_key, what, sink, ours).run();
}

Result<bool> holds_changes(cachefiles::Disk& disk, const std::string& directory,
                           const std::string& volume_key) {
  const std::unique_ptr<cachefiles::DiskFile> owner = TRY(disk.lock(directory + "/lock"));
  uint64_t changed = 0;
  uint64_t done = 0;
  const Scanned scanned = TRY(scan_journal(disk, directory, volume_key, ScanFor::kLook,
                                           [&](const Record& record, const RecordPlace&) {
                                             if (is_change(record.kind)) changed = record.sequence;
                                             if (record.kind == RecordKind::kDone) {
                                               done = record.upto;
                                             }
                                           }));
  return changed > done || !scanned.damage.empty();
}

}  // namespace netfs::journal
