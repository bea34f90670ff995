// Reads: straight through where nothing is pending, else what the origin has with what is in the
// journal laid over it.

#include <algorithm>
#include <cstring>
#include <utility>

#include "journal/journaled_file.h"
#include "journal/journaled_origin.h"
#include "journal/waited.h"

namespace netfs::journal {

// A read that the inner origin answers alone.
class JournaledOrigin::Through final : public Subrequest {
 public:
  Through(JournaledOrigin& origin, Subrequest& outer, std::shared_ptr<OriginFile> inner)
      : Subrequest(*inner, outer.range(), outer.destination(), outer.deadline()),
        origin_(origin),
        outer_(outer),
        inner_(std::move(inner)) {}

  void progress(uint64_t bytes) override { outer_.progress(bytes); }
  void time_moved(Deadline deadline) override {
    origin_.limited_ = true;
    outer_.time_moved(deadline);
  }
  [[nodiscard]] bool awaited() const override { return outer_.awaited(); }

  void terminated(ReadOutcome outcome) override {
    const std::unique_ptr<Through> self(this);
    auto& file = static_cast<JournaledFile&>(outer_.file());
    const int code = outcome.transferred_bytes.code();
    // A handle that goes by its path lost it when we moved it there: once more by where it is now.
    if (code == ENOENT || code == ESTALE || code == EBADF) {
      Subrequest& outer = outer_;
      JournaledOrigin& origin = origin_;
      if (origin.post_laid_over(outer)) return;
    }
    outcome.validator_after = origin_.validator_of(file.node(), outcome.validator_after);
    outer_.terminated(std::move(outcome));
  }

 private:
  JournaledOrigin& origin_;
  Subrequest& outer_;
  const std::shared_ptr<OriginFile> inner_;
};

void JournaledOrigin::issue_read(Subrequest& subrequest) {
  auto& file = static_cast<JournaledFile&>(subrequest.file());
  const Journal::Bytes bytes = journal_->bytes_in(file.node(), subrequest.range());
  std::shared_ptr<OriginFile> inner = bytes.beside ? nullptr : file.inner();
  if (bytes.only_below && inner) {
    auto* through = new Through(*this, subrequest, std::move(inner));  // deletes itself at its end
    journal_->inner().issue_read(*through);
    return;
  }
  if (post_laid_over(subrequest)) return;
  subrequest.terminated({.transferred_bytes = Error(ENOTCONN, "journal.read")});
}

// Those before it may be held back by a limit of bandwidth: then it has its time from its turn on.
bool JournaledOrigin::post_laid_over(Subrequest& subrequest) {
  if (limited_) subrequest.time_moved(Deadline::never());
  return readers_.post([this, &subrequest] {
    if (limited_) {
      subrequest.time_moved(Deadline::after(Clock::system(), journal_->options().timeout));
    }
    read_laid_over(subrequest);
  });
}

// What is read below for a read that is laid over it.  It has a thread, which others may wait for.
class JournaledOrigin::Below final : public WaitedRead {
 public:
  Below(JournaledOrigin& origin, Subrequest& outer, OriginFile& file, ByteRange range,
        std::span<std::byte> to, Deadline deadline)
      : WaitedRead(file, range, to, deadline), origin_(origin), outer_(outer) {}
  void time_moved(Deadline deadline) override {
    origin_.limited_ = true;
    outer_.time_moved(deadline);
  }

 private:
  JournaledOrigin& origin_;
  Subrequest& outer_;
};

// Of a validator of the inner origin's: absent where it cannot be told.
std::optional<Validator> JournaledOrigin::validator_of(NodeId node,
                                                       const std::optional<Validator>& raw) {
  const Result<Journal::Glance> glance = journal_->glance(node);
  if (!glance.ok()) return raw;
  const NodeState& state = glance.value().state;
  if (!raw && (state.asks_origin() || state.changed == 0)) return std::nullopt;
  NodeInfo info;
  if (raw) info.validator = *raw;
  return journal_->show(glance.value(), raw && state.asks_origin() ? &info : nullptr).validator;
}

Result<std::shared_ptr<OriginFile>> JournaledOrigin::open_below(NodeId node, Deadline deadline) {
  for (;;) {
    const Journal::Glance glance = TRY(journal_->glance(node));
    if (!glance.origin_path) return std::shared_ptr<OriginFile>();
    Result<std::unique_ptr<OriginFile>> opened =
        journal_->inner().open(*glance.origin_path, deadline);
    const Journal::Stands stand = TRY(journal_->stands("", node, glance, opened.code(), deadline));
    if (stand == Journal::Stands::kNo) continue;
    return std::shared_ptr<OriginFile>(TRY(std::move(opened)));
  }
}

// The origin's part, to the front of the destination, which is zeroes: how much there is of it.
Result<uint64_t> JournaledOrigin::read_below(Subrequest& subrequest, const Journal::Bytes& bytes) {
  auto& file = static_cast<JournaledFile&>(subrequest.file());
  const ByteRange wanted = subrequest.range().intersect({0, bytes.visible});
  const std::shared_ptr<OriginFile> before = file.inner();
  std::shared_ptr<OriginFile> inner = bytes.beside ? nullptr : before;
  bool fresh = false;
  uint64_t done = 0;
  while (done < wanted.length_bytes) {
    // A limit of bandwidth may have held back what went before.
    const Deadline soon = Deadline::after(Clock::system(), journal_->options().timeout);
    const Deadline deadline{std::max(subrequest.deadline().at, soon.at)};
    if (!inner) {
      inner = TRY(open_below(file.node(), deadline));
      fresh = true;
      if (!inner) break;  // it has nothing of it
      file.take_inner(before, inner);
    }
    const ReadOutcome outcome =
        Below(*this, subrequest, *inner, {wanted.offset_bytes + done, wanted.length_bytes - done},
              subrequest.destination().subspan(done, wanted.length_bytes - done), deadline)
            .run(journal_->inner());
    const int code = outcome.transferred_bytes.code();
    if (!fresh && (code == ENOENT || code == ESTALE || code == EBADF)) {
      inner.reset();
      continue;
    }
    const uint64_t got = TRY(outcome.transferred_bytes);
    done += got;
    if (got == 0 || outcome.hit_end_of_file) break;
  }
  return done;
}

void JournaledOrigin::read_laid_over(Subrequest& subrequest) {
  auto& file = static_cast<JournaledFile&>(subrequest.file());
  const ByteRange range = subrequest.range();
  const Journal::Bytes bytes = journal_->bytes_in(file.node(), range);
  const std::span<std::byte> to = subrequest.destination();
  std::memset(to.data(), 0, to.size());
  uint64_t covered = 0;
  for (const Extent& extent : bytes.extents) covered += extent.range.length_bytes;
  Result<void> read;
  uint64_t length = range.intersect({0, bytes.size}).length_bytes;
  if (covered < range.length_bytes) {
    const Result<uint64_t> below = read_below(subrequest, bytes);
    if (!below.ok()) read = below.error();
    if (below.ok() && bytes.only_below) length = below.value();
  }
  for (const Extent& extent : bytes.extents) {
    if (!read.ok()) break;
    const uint64_t at = extent.range.offset_bytes - range.offset_bytes;
    const std::span<std::byte> part = to.subspan(at, extent.range.length_bytes);
    if (extent.zero) {
      std::memset(part.data(), 0, part.size());
    } else {
      read = journal_->log().read_data(extent.place, extent.place_offset, part);
    }
  }
  if (!read.ok()) return subrequest.terminated({.transferred_bytes = read.error()});
  subrequest.terminated({.transferred_bytes = length,
                         .hit_end_of_file = length < range.length_bytes,
                         .validator_after = validator_of(file.node(), std::nullopt)});
}

}  // namespace netfs::journal
