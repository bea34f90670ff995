#pragma once
// What the head of an answer to a read says: whether the bytes behind it are the file's, and how a
// read ends.  Pure, but for a line in the log.

#include <optional>
#include <string>

#include "netfs/subrequest.h"
#include "origins/http/edition.h"
#include "origins/http/read_side.h"

namespace netfs::origins::http {

// Which version of which file is read.
struct ReadSource {
  std::string url;
  Edition edition;
  // The edition is that of the first answer: nobody had seen the file before.
  bool by_read = false;
};

struct ReadAnswer {
  // The file is another version: the read ends with its validator and no byte.
  bool changed = false;
  // 200: all of the file comes, whatever was asked.
  bool whole = false;
  // Of 206 and 416: what comes, and whether the file ends there.
  ByteRange range;
  bool ends_file = false;
  // To be told with the bytes.  Not of a validator that is the same as before and weak, or of a
  // file that changed less than a minute ago: it may still change while it is sent, so the library
  // asks once it is here.
  std::optional<Validator> validator;
};

// `asked`: empty for the whole.  EIO for what does not fit together, and the errno of a status;
// ESTALE when the file is gone, or has another length and no validators.
Result<ReadAnswer> judge_answer(ReadSide& side, const ReadSource& source, ByteRange asked,
                                const ResponseHead& head);

// Ends a read that got `bytes` before the transfer ended with `result`: what came in order is worth
// keeping when the connection was only lost.
ReadOutcome outcome_of(const ReadSource& source, const Result<void>& result, uint64_t bytes,
                       const ReadAnswer& answer);

}  // namespace netfs::origins::http
