#pragma once
// The words that all forms of a report share.  Pure functions, thread-safe.

#include <string>
#include <string_view>
#include <vector>

#include "lockdep/report.h"

namespace netfs::lockdep {

// A word for machines (`circular`), and the kernel's for people (`possible circular locking ...`).
// The latter names the signal where the kind has one.
[[nodiscard]] std::string_view kind_word(ReportKind kind);
[[nodiscard]] std::string kind_title(const Report& report);

[[nodiscard]] std::string_view verdict_word(Verdict verdict);  // PROVED, LIKELY, ORDER-ONLY
[[nodiscard]] std::string_view mode_word(Mode mode);           // write, read, recursive-read

// `NAME#version/subclass`.
[[nodiscard]] std::string class_name(const ReportedClass& lock_class);
// ` (NAME){usage}-{outer:inner}`, with the space in front.
[[nodiscard]] std::string class_text(const ReportedClass& lock_class);
// `NAME/ID`: a thread's comm and id, or an explicit context's name and number.
[[nodiscard]] std::string context_text(const ReportedContext& context);

// The class indices in the order of the circle or chain: from the lock to be taken along the order
// in which they are taken, for a circle back to it.  For reports without a chain: the class
// concerned, or all that are held at an exit.
[[nodiscard]] std::vector<uint32_t> class_path(const Report& report);

// `A -> B -> A`.
[[nodiscard]] std::string class_path_text(const Report& report);

// One line: what, verdict, classes.  `lockdep: LIKELY: possible circular ...: A -> B -> A`.
[[nodiscard]] std::string summary_line(const Report& report);

}  // namespace netfs::lockdep
