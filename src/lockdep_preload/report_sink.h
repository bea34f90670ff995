#pragma once
// Where reports go: to the stderr that the program began with, or to the file that was asked for.
//
// Each report is one write.  A descriptor of ours that the program has closed, or made another file
// of, is left alone: we look before each write whether it is still the file that it was.

#include <string>

#include "lockdep/report.h"
#include "lockdep_preload/options.h"

namespace netfs::lockdep_preload {

void reports_begin(const char* options_text);
void reports_end();
const Options& options();
// For a file that was named; a pipe that nobody reads is an error, and not waited for.
int open_output(const std::string& path, int flags);
// To where reports go, as one write.  Where --output takes no more, stderr is told so, once.
void write_out(const std::string& text);
// Around what shows reports or names: one thread at a time.
void lock_reports();
void unlock_reports();

void report_sink(void* user, const lockdep::Report& report);

}  // namespace netfs::lockdep_preload
