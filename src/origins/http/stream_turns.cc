#include "origins/http/stream_turns.h"

#include <algorithm>

#include "origins/http/stream.h"

namespace netfs::origins::http {

namespace {

// Between two reads of who reads on there is less.
constexpr Duration kReadOn = std::chrono::milliseconds(250);

}  // namespace

StreamTurns::StreamTurns(Engine& engine) : engine_(engine) {
  engine_.post([this] { engine_.when_crowded([this] { make_room(); }); });
}

StreamTurns::~StreamTurns() = default;

void StreamTurns::ask(Stream& stream) {
  const auto is_it = [&](const Ref<Stream>& waiting) { return waiting.get() == &stream; };
  if (std::none_of(queue_.begin(), queue_.end(), is_it)) queue_.emplace_back(&stream);
  let_in();
  make_room();
}

void StreamTurns::end(const Stream& stream) {
  if (std::erase(open_, &stream) != 0) let_in();
}

void StreamTurns::leave(const Stream& stream) {
  std::erase_if(queue_, [&](const Ref<Stream>& waiting) { return waiting.get() == &stream; });
  end(stream);
}

void StreamTurns::let_in() {
  const size_t most = std::max<size_t>(engine_.settings().connections / 2, 1);
  while (open_.size() < most && !queue_.empty()) {
    const Ref<Stream> next = std::move(queue_.front());
    queue_.pop_front();
    open_.push_back(next.get());
    next->turn_came();
  }
}

bool StreamTurns::somebody_waits() const {
  return !queue_.empty() || engine_.crowded();
}

void StreamTurns::make_room() {
  const MonoTime now = engine_.now();
  const Duration patience = engine_.settings().connections == 1 ? Duration::zero() : kReadOn;
  bool some_later = false;
  const std::list<Stream*> open = open_;
  for (Stream* stream : open) {
    if (!somebody_waits()) return;
    // What went before may have ended this one.
    if (std::find(open_.begin(), open_.end(), stream) == open_.end()) continue;
    const std::optional<MonoTime> since = stream->idle_since();
    if (since && now - *since >= patience) {
      stream->drop_download();
    } else {
      some_later |= since.has_value();
    }
  }
  if (!some_later || !somebody_waits() || std::exchange(timed_, true)) return;
  engine_.post_at(now + kReadOn, [this] {
    timed_ = false;
    make_room();
  });
}

}  // namespace netfs::origins::http
