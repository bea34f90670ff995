#include "netfs/follow_up.h"

#include <deque>

#include "netfs/remote_file.h"

namespace netfs {

FollowUp::FollowUp(Ref<RemoteFile> of) : file(std::move(of)) {}
FollowUp::~FollowUp() = default;
FollowUp::FollowUp(FollowUp&&) noexcept = default;

namespace {

// Of the thread that is running follow-ups: those that came up meanwhile.
thread_local std::deque<FollowUp>* pending = nullptr;

}  // namespace

void FollowUp::run() && {
  if (pending != nullptr) {
    pending->push_back(std::move(*this));
    return;
  }
  std::deque<FollowUp> queue;
  queue.push_back(std::move(*this));
  pending = &queue;
  while (!queue.empty()) {
    FollowUp next = std::move(queue.front());
    queue.pop_front();
    std::optional<sync::ContextScope> scope;
    if (next.context) scope.emplace(*next.context);
    next.file->perform(next);
  }
  pending = nullptr;
}

// Downloads first, for they take longest; then answers; stores and the rest may wait.
void RemoteFile::perform(FollowUp& follow) {
  for (FollowUp::Issue& one : follow.issues) issue(std::move(one));
  if (follow.open_origin) open_asked();
  if (follow.open_unasked) open_unasked();
  for (FollowUp::Finish& finish : follow.finishes) {
    core_->requests.remove(*finish.request);
    count_finish(*finish.request, finish.result);
    finish.request->done(std::move(finish.result));
  }
  for (const FollowUp::CacheRead& read : follow.cache_reads) read_cache(read, Waiting::kNever);
  for (const Ref<Fetch>& fetch : follow.stores) store(*fetch);
  for (const FollowUp::Retry& retry : follow.retries) {
    (void)core_->timers.post_at(
        retry.at, [self = Ref<RemoteFile>(this), fetch = retry.fetch] { self->retry_now(*fetch); });
  }
  if (follow.confirm) {
    Ref<RemoteFile> self(this);
    // What nobody waits for does not stand in the way of who waits.
    auto& workers = follow.confirm_awaited ? core_->waiting : core_->opening;
    (void)workers.post([self = std::move(self)] { self->confirm(); });
  }
  if (follow.supersede) supersede();
}

}  // namespace netfs
