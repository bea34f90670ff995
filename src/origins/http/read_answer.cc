#include "origins/http/read_answer.h"

#include <spdlog/fmt/fmt.h>

#include "origins/http/answer_error.h"

namespace netfs::origins::http {

namespace {

Error nonsense(const ReadSource& source, const char* what) {
  return Error(EIO, "http.read", fmt::format("{}: {}", source.url, what));
}

// A server's own strong tag is made of the time and the size, as often as not: until a change would
// have another time, the tag of the head says nothing of the bytes behind it.
constexpr int64_t kSettledSeconds = 60;

// Whether the validator of the head that comes before the bytes is good for the last of them.
bool holds_to_the_end(const Edition& expected, const Edition& seen, const ResponseHead& head,
                      int64_t wall_seconds) {
  const auto is_strong = [](const Edition& edition) {
    return edition.validator.strength == ValidatorStrength::kStrong;
  };
  if (!is_strong(expected) || !is_strong(seen)) return false;
  // An answer to If-Range may leave the time out; 0: there is none.
  const int64_t changed = head.last_modified().value_or(expected.mtime_seconds);
  return changed == 0 || head.date().value_or(wall_seconds) - changed >= kSettledSeconds;
}

// Sets what the comparison of versions says.
Result<void> check_version(ReadSide& side, const ReadSource& source, const ResponseHead& head,
                           uint64_t size_bytes, ReadAnswer& answer) {
  const int64_t wall = side.engine.wall_seconds();
  const Edition seen = edition_of(head, size_bytes, wall);
  switch (compare(source.edition, seen)) {
    case Sameness::kSomething:
      return nonsense(source, "the answer is something else than the file");
    case Sameness::kChanged:
      if (seen.validator.strength == ValidatorStrength::kNone) {
        // There is no validator to tell it by.
        return Error(ESTALE, "http.read", source.url + ": the file has another length now");
      }
      answer.changed = true;
      answer.validator = seen.validator;
      return {};
    case Sameness::kSame:
      if (holds_to_the_end(source.edition, seen, head, wall)) answer.validator = seen.validator;
      return {};
  }
  return {};
}

Result<ReadAnswer> judge_part(ReadSide& side, const ReadSource& source, ByteRange asked,
                              const ResponseHead& head) {
  const std::optional<ContentRange> part = head.content_range();
  if (!part || !part->range) return nonsense(source, "a part without a proper Content-Range");
  ReadAnswer answer;
  answer.range = *part->range;
  if (answer.range.offset_bytes != asked.offset_bytes ||
      answer.range.end_bytes() > asked.end_bytes()) {
    return nonsense(source, "another range than was asked for");
  }
  if (head.content_length() && *head.content_length() != answer.range.length_bytes) {
    return nonsense(source, "a part of another length than its Content-Range");
  }
  const uint64_t size = part->total_bytes.value_or(source.edition.size_bytes);
  answer.ends_file = answer.range.end_bytes() == size;
  TRY(check_version(side, source, head, size, answer));
  return answer;
}

Result<ReadAnswer> judge_beyond_end(const ReadSource& source, ByteRange asked,
                                    const ResponseHead& head) {
  const std::optional<ContentRange> part = head.content_range();
  const uint64_t size = part && part->total_bytes ? *part->total_bytes : source.edition.size_bytes;
  if (asked.offset_bytes < size) return nonsense(source, "a range within the file is refused");
  ReadAnswer answer;
  answer.range = {asked.offset_bytes, 0};
  answer.ends_file = true;
  return answer;
}

}  // namespace

Result<ReadAnswer> judge_answer(ReadSide& side, const ReadSource& source, ByteRange asked,
                                const ResponseHead& head) {
  if (head.status() == 206 || head.status() == 200) {
    TRY(refuse_encoding(side, head, source.url));
  }
  if (head.status() == 206 && !asked.empty()) return judge_part(side, source, asked, head);
  if (head.status() == 416 && !asked.empty()) return judge_beyond_end(source, asked, head);
  if (head.status() == 200) {
    ReadAnswer answer;
    answer.whole = true;
    const uint64_t size = head.content_length().value_or(source.edition.size_bytes);
    TRY(check_version(side, source, head, size, answer));
    return answer;
  }
  Error error = error_of_status(head.status(), source.url);
  if (error.code() == ENOENT) return Error(ESTALE, "http.read", error.detail());
  return error;
}

ReadOutcome outcome_of(const ReadSource& source, const Result<void>& result, uint64_t bytes,
                       const ReadAnswer& answer) {
  ReadOutcome outcome;
  if (!answer.changed && bytes > 0) {
    if (source.by_read) outcome.validator_before = source.edition.validator;
    outcome.size_before = source.edition.size_bytes;
  }
  outcome.validator_after = answer.validator;
  outcome.transferred_bytes = answer.changed ? 0 : bytes;
  if (answer.changed || result.ok()) return outcome;
  if (!result.is_error(ECONNRESET) || bytes == 0) outcome.transferred_bytes = result.error();
  return outcome;
}

}  // namespace netfs::origins::http
