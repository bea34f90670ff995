#include "netfs/simulated_link.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "netfs/lock_classes.h"
#include "netfs/simulated_link_locks.h"
#include "netfs/simulated_link_writer.h"

namespace netfs {

namespace {

constexpr uint64_t kStepBytes = 64 << 10;

struct Unit {
  std::string_view name;
  double factor;
};
// Longest first, for "ms" ends in "s".
constexpr Unit kTimes[] = {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
constexpr Unit kRates[] = {{"Kbit", 1e3}, {"Mbit", 1e6}, {"Gbit", 1e9}, {"bit", 1}};

// A number not below 0 with one of the units; less than 0 when it is none.
template <size_t N>
double parse_quantity(std::string_view text, const Unit (&units)[N]) {
  for (const Unit& unit : units) {
    if (!text.ends_with(unit.name)) continue;
    text.remove_suffix(unit.name.size());
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool good = error == std::errc() && end == text.data() + text.size() &&
                      std::isfinite(value) && value >= 0 && value * unit.factor < 1e15;
    return good ? value * unit.factor : -1;
  }
  return -1;
}

}  // namespace

Result<LinkShape> parse_link_shape(std::string_view text) {
  LinkShape shape;
  while (true) {
    const std::string_view word = text.substr(0, text.find(','));
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : word.substr(equals + 1);
    double quantity = -1;
    if (name == "rtt") {
      quantity = parse_quantity(value, kTimes);
      shape.round_trip = Duration(static_cast<int64_t>(std::max(quantity, 0.0)));
    } else if (name == "bandwidth") {
      quantity = parse_quantity(value, kRates);
      shape.bits_per_second = static_cast<uint64_t>(std::max(quantity, 0.0));
    }
    if (quantity < 0) {
      return Error(EINVAL, "simulate",
                   "simulate: '" + std::string(word) +
                       "' is not understood; write for example rtt=20ms,bandwidth=1Gbit");
    }
    if (word.size() == text.size()) return shape;
    text.remove_prefix(word.size() + 1);
  }
}

// A read on its way: to the server, through the shaper, and back.
class SimulatedLink::Read final : public Subrequest {
 public:
  Read(SimulatedLink& link, Subrequest& outer)
      : Subrequest(outer.file(), outer.range(), outer.destination(), outer.deadline()),
        link_(link),
        outer_(outer) {}

  // On the inner origin's thread: the bytes stand at the far end of the link.
  void terminated(ReadOutcome outcome) override {
    outcome_ = std::move(outcome);
    const uint64_t bytes = outcome_.transferred_bytes.ok()
                               ? std::min(outcome_.transferred_bytes.value(), range().length_bytes)
                               : 0;
    const Duration half = link_.shape_.round_trip / 2;
    const MonoTime begin = link_.book(bytes);
    const uint64_t told = outcome_.confirm_first ? 0 : bytes;
    for (uint64_t step = kStepBytes; step < told; step += kStepBytes) {
      (void)link_.travelling_.post_at(begin + link_.transfer_time(step) + half,
                                      [this, step] { outer_.progress(step); });
    }
    const bool sent =
        link_.travelling_.post_at(begin + link_.transfer_time(bytes) + half, [this] { arrive(); });
    if (!sent) arrive();
  }

 private:
  void arrive() {
    const std::unique_ptr<Read> self(this);
    outer_.terminated(std::move(outcome_));
  }

  SimulatedLink& link_;
  Subrequest& outer_;
  ReadOutcome outcome_;
};

SimulatedLink::SimulatedLink(Origin& inner, LinkShape shape)
    : inner_(inner),
      shape_(shape),
      mutex_(kSimulatedLinkLock),
      travelling_({.name = "netfs-link", .threads = 1}) {
  if (OriginWriter* writer = inner.writer()) {
    writer_ = std::make_unique<SimulatedLinkWriter>(*this, *writer);
  }
  if (OriginLocks* locks = inner.locks()) {
    locks_ = std::make_unique<SimulatedLinkLocks>(*this, *locks);
  }
}

SimulatedLink::~SimulatedLink() {
  {
    sync::MutexLock lock(mutex_);
    stopping_ = true;
    stopped_.notify_all();
  }
  travelling_.stop();
}

Duration SimulatedLink::transfer_time(uint64_t bytes) const {
  if (shape_.bits_per_second == 0) return Duration(0);
  const double seconds =
      static_cast<double>(bytes) * 8 / static_cast<double>(shape_.bits_per_second);
  return Duration(static_cast<int64_t>(seconds * 1e9));
}

MonoTime SimulatedLink::book(uint64_t bytes) {
  const MonoTime now = Clock::system().now();
  sync::MutexLock lock(mutex_);
  const MonoTime begin = std::max(now, free_at_);
  free_at_ = begin + transfer_time(bytes);
  return begin;
}

Result<void> SimulatedLink::travel(Deadline deadline) {
  const MonoTime arrival = Clock::system().now() + shape_.round_trip;
  const MonoTime until = std::min(arrival, deadline.at);
  sync::MutexLock lock(mutex_);
  while (!stopping_ && Clock::system().now() < until) stopped_.wait_until(mutex_, until);
  if (stopping_) return Error(ECANCELED, "simulate");
  if (until < arrival) return Error(ETIMEDOUT, "simulate");
  return {};
}

Result<NodeInfo> SimulatedLink::stat(const std::string& path, Deadline deadline) {
  TRY(travel(deadline));
  return inner_.stat(path, deadline);
}

Result<void> SimulatedLink::list(const std::string& path, Deadline deadline,
                                 const EntrySink& sink) {
  TRY(travel(deadline));
  return inner_.list(path, deadline, sink);
}

Result<std::string> SimulatedLink::read_link(const std::string& path, Deadline deadline) {
  TRY(travel(deadline));
  return inner_.read_link(path, deadline);
}

Result<FileSystemStats> SimulatedLink::stat_file_system(Deadline deadline) {
  TRY(travel(deadline));
  return inner_.stat_file_system(deadline);
}

Result<std::unique_ptr<OriginFile>> SimulatedLink::open(const std::string& path,
                                                        Deadline deadline) {
  TRY(travel(deadline));
  return inner_.open(path, deadline);
}

void SimulatedLink::issue_read(Subrequest& subrequest) {
  auto* read = new Read(*this, subrequest);  // deletes itself on arrival
  const MonoTime there = Clock::system().now() + shape_.round_trip / 2;
  const bool sent = travelling_.post_at(there, [this, read] { inner_.issue_read(*read); });
  if (!sent) read->terminated({.transferred_bytes = Error(ENOTCONN, "simulate")});
}

OriginWriter* SimulatedLink::writer() {
  return writer_.get();
}

OriginLocks* SimulatedLink::locks() {
  return locks_.get();
}

bool SimulatedLink::later(Duration after, sync::WorkQueue::Work step) {
  return travelling_.post_at(Clock::system().now() + after, std::move(step));
}

StatusFields SimulatedLink::status() const {
  StatusFields fields = inner_.status();
  const auto round_trip_us =
      std::chrono::duration_cast<std::chrono::microseconds>(shape_.round_trip).count();
  fields.emplace_back("simulated round trip", std::to_string(round_trip_us) + " us");
  if (shape_.bits_per_second > 0) {
    fields.emplace_back("simulated bandwidth",
                        std::to_string(shape_.bits_per_second / 1'000'000) + " Mbit/s");
  }
  return fields;
}

}  // namespace netfs
