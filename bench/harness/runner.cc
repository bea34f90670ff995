#include "harness/runner.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "harness/cpu.h"
#include "harness/machine.h"
#include "harness/workdir.h"

namespace netfs::bench {

namespace {

Result<Sample> take_sample(const RowSpec& spec, const Side& side) {
  if (side.prepare) TRY(side.prepare());
  std::vector<pid_t> roots = side.processes ? side.processes() : std::vector<pid_t>{};
  Sample sample;
  auto before = cpu_seconds_of(roots);
  sample.work = TRY(side.run());
  sample.daemon_cpu_seconds = cpu_seconds_between(before, cpu_seconds_of(roots));
  sample.load = load_now();
  sample.figure = std::isnan(sample.work.figure)
                      ? static_cast<double>(sample.work.units) / sample.work.seconds / spec.scale
                      : sample.work.figure;
  return sample;
}

void run_side(const RowSpec& spec, const Side& side, unsigned round, SideResult& result) {
  Result<Sample> sample = take_sample(spec, side);
  if (side.finish) side.finish();
  if (!sample.ok()) {
    result.failure = "round " + std::to_string(round + 1) + ": " + sample.error().message();
    std::fprintf(stderr, "  %s: %s\n", side.name.c_str(), result.failure.c_str());
    return;
  }
  std::fprintf(stderr, "  %-8s %2u: %12.2f %-11s cpu %6.3f + %6.3f s, load %.2f\n",
               side.name.c_str(), round + 1, sample.value().figure, spec.unit.c_str(),
               sample.value().work.cpu_seconds, sample.value().daemon_cpu_seconds,
               sample.value().load);
  result.samples.push_back(sample.value());
}

bool sits_out(const Side& side, unsigned round, const SideResult& so_far) {
  if (!so_far.failure.empty() || round >= side.rounds_max) return true;
  if (so_far.samples.empty()) return false;
  double seconds = so_far.samples.back().work.seconds;
  for (const Sample& sample : so_far.samples) seconds += sample.work.seconds;
  return seconds > side.seconds_max;
}

template <class Get>
std::vector<double> column(const SideResult& side, Get get) {
  std::vector<double> values;
  for (const Sample& sample : side.samples) values.push_back(get(sample));
  return values;
}

void summarise(const SideResult& first, SideResult& side) {
  std::vector<double> figures = column(side, [](const Sample& s) { return s.figure; });
  if (figures.empty()) return;
  side.median = median_of(figures);
  side.min = *std::min_element(figures.begin(), figures.end());
  side.max = *std::max_element(figures.begin(), figures.end());
  side.cpu_seconds = median_of(column(side, [](const Sample& s) { return s.work.cpu_seconds; }));
  side.daemon_cpu_seconds =
      median_of(column(side, [](const Sample& s) { return s.daemon_cpu_seconds; }));
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(first.samples.size(), side.samples.size()); ++i) {
    ratios.push_back(first.samples[i].figure / side.samples[i].figure);
  }
  if (&first == &side || ratios.empty()) return;
  side.ratio = median_of(ratios);
  side.ratio_min = *std::min_element(ratios.begin(), ratios.end());
  side.ratio_max = *std::max_element(ratios.begin(), ratios.end());
}

}  // namespace

bool RowResult::failed() const {
  return std::any_of(sides.begin(), sides.end(),
                     [](const SideResult& side) { return !side.failure.empty(); });
}

RowResult run_row(const RowSpec& spec, std::vector<Side> sides, unsigned rounds) {
  std::fprintf(stderr, "%s: %s\n", spec.name.c_str(), spec.what.c_str());
  RowResult row{.spec = spec};
  for (const Side& side : sides) row.sides.push_back({.name = side.name, .how = side.how});
  row.load_before = load_now();
  row.clock_ghz_before = clock_ghz_now();
  for (unsigned round = 0; round < rounds && !interrupted(); ++round) {
    for (size_t i = 0; i < sides.size() && !interrupted(); ++i) {
      size_t index = round % 2 == 0 ? i : sides.size() - 1 - i;
      if (sits_out(sides[index], round, row.sides[index])) continue;
      run_side(spec, sides[index], round, row.sides[index]);
    }
  }
  row.load_after = load_now();
  row.clock_ghz_after = clock_ghz_now();
  for (SideResult& side : row.sides) summarise(row.sides.front(), side);
  if (interrupted()) row.notes.emplace_back("interrupted: not all rounds were run");
  return row;
}

double median_of(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace netfs::bench
