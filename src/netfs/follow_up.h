#pragma once
// FollowUp: what is to be done once a file's lock is released: I/O, answers, work for others.
//
// Filled under the lock, run after it.  When a follow-up is run from within another one on the same
// thread (an origin that answers from within issue_read(), an answer that reads again) it waits
// for the outer one to end its step: depth does not grow with the number of answers.

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/ref.h"
#include "netfs/fetch.h"
#include "netfs/library.h"
#include "netfs/read_request.h"
#include "sync/context.h"

namespace netfs {

class RemoteFile;

struct FollowUp {
  struct Issue {
    Ref<Fetch> fetch;
    std::shared_ptr<OriginFile> handle;
    ByteRange range;
    bool is_ahead = false;  // counted among the reads ahead
    bool by_read = false;   // a read opens the handle
    bool unproven = false;  // and none has yet, so its bytes may be of any version
    bool racy = false;      // the handle was read while the version could hide a change
  };
  struct Finish {
    Ref<ReadRequest> request;
    Result<ReadResult> result;
  };
  struct CacheRead {
    Ref<ReadRequest> request;
    ByteRange range;
  };
  struct Retry {
    Ref<Fetch> fetch;
    MonoTime at;
  };

  explicit FollowUp(Ref<RemoteFile> of);
  ~FollowUp();
  FollowUp(FollowUp&&) noexcept;
  FollowUp& operator=(FollowUp&&) = delete;

  Ref<RemoteFile> file;
  // Of a request that waits for this; whoever runs it works for that request.
  std::optional<sync::Context> context;

  std::vector<Issue> issues;
  bool open_origin = false;
  bool open_unasked = false;
  std::vector<Finish> finishes;
  std::vector<CacheRead> cache_reads;
  std::vector<Ref<Fetch>> stores;
  std::vector<Retry> retries;
  bool confirm = false;
  bool confirm_awaited = false;  // by somebody
  bool supersede = false;
  std::shared_ptr<OriginFile> closed;  // by whoever drops this

  void run() &&;
};

}  // namespace netfs
