#pragma once
// The log: one line an event, through spdlog, to standard error or a file.
//
// A line is written by a thread of the log's own, so no request ever waits for a slow or frozen
// disk to take it; when its queue is full the oldest lines go and the number lost is logged.
// Secrets are never logged.  Thread-safe.
//
//   log_warn("sftp", "connection {} lost: {}", number, error.message());

#include <spdlog/fmt/fmt.h>
#include <string>
#include <string_view>
#include <utility>

namespace netfs::telemetry {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

struct LogOptions {
  std::string file;  // empty: standard error
  LogLevel level = LogLevel::kInfo;
};

// Starts the log; before that, and after stop_log(), lines go to standard error directly.
void start_log(const LogOptions& options);
void stop_log();

void write_log(LogLevel level, const char* room, std::string_view text);
[[nodiscard]] bool log_enabled(LogLevel level);

template <class... Args>
void log_debug(const char* room, fmt::format_string<Args...> format, Args&&... args) {
  if (!log_enabled(LogLevel::kDebug)) return;
  write_log(LogLevel::kDebug, room, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_info(const char* room, fmt::format_string<Args...> format, Args&&... args) {
  write_log(LogLevel::kInfo, room, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warn(const char* room, fmt::format_string<Args...> format, Args&&... args) {
  write_log(LogLevel::kWarn, room, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(const char* room, fmt::format_string<Args...> format, Args&&... args) {
  write_log(LogLevel::kError, room, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace netfs::telemetry
