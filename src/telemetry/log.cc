#include "telemetry/log.h"

#include <atomic>
#include <cstdio>
#include <memory>
#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace netfs::telemetry {

namespace {

// Some 400 bytes each, all touched when it starts: a worker that takes over is waited for.
constexpr size_t kQueueLines = 1024;

std::atomic<LogLevel> minimum_level{LogLevel::kInfo};
std::shared_ptr<spdlog::async_logger> logger;              // set by start_log, before other threads
std::shared_ptr<spdlog::details::thread_pool> log_thread;  // its own, not spdlog's global one

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void start_log(const LogOptions& options) {
  minimum_level = options.level;
  log_thread = std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1);
  spdlog::sink_ptr sink;
  if (options.file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
  }
  logger = std::make_shared<spdlog::async_logger>("netfs", sink, log_thread,
                                                  spdlog::async_overflow_policy::overrun_oldest);
  logger->set_level(to_spdlog(options.level));
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %L %v");
  logger->flush_on(spdlog::level::info);
}

void stop_log() {
  logger.reset();
  log_thread.reset();
}

bool log_enabled(LogLevel level) {
  return level >= minimum_level.load(std::memory_order_relaxed);
}

void write_log(LogLevel level, const char* room, std::string_view text) {
  if (!log_enabled(level)) return;
  if (logger) {
    logger->log(to_spdlog(level), "{}: {}", room, text);
  } else {
    std::fprintf(stderr, "netfs: %s: %.*s\n", room, static_cast<int>(text.size()), text.data());
  }
}

}  // namespace netfs::telemetry
