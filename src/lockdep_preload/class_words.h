#pragma once
// class_words: what a person would call a class of locks that we named `s12`.
//
//   `queue_lock`, `forks+0x28`           a static object's name, from the symbol table
//   `mutex made in make_node tree.c:30`  where it was initialised, or first locked
//   `... #3`                             the third lock there, where each is a class of its own

#include <string>

#include "lockdep/symbolizer.h"

namespace netfs::lockdep_preload {

// A name that is none of ours is returned as it is.
[[nodiscard]] std::string class_words(const char* name, lockdep::Symbolizer& symbolizer);

}  // namespace netfs::lockdep_preload
