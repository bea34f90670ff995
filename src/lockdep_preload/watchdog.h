#pragma once
// The watchdog: a thread of ours in the watched program, which looks for contexts that wait for
// each other for ever, and answers `lockdep dump` and `lockdep stat`.
//
// It lives while the program has threads beside its first, so that a program without stays one:
// some calls (unshare, setns) are refused to others, and the process ends with its last thread.  It
// blocks all signals, has no context, and no lock of it is validated.  It is never joined.
//
//   // in our pthread_create:
//   program_thread_begins();
//   start_watchdog({.interval_ms = 1000, .create = original_pthread_create, ...});

#include <string>
#include <string_view>

#include "lockdep/symbolizer.h"
#include "lockdep/validator.h"

namespace netfs::lockdep_preload {

struct Watchdog {
  using Start = void* (*)(void*);

  int interval_ms = 1000;  // between looks; 0: it only answers
  // pthread_create of the C library; `thread` is a pthread_t*, `attributes` a pthread_attr_t*.
  int (*create)(void* thread, const void* attributes, Start start, void* argument) = nullptr;
  lockdep::Validator* validator = nullptr;
  // Names for `dump`; called with nobody else showing reports: `lock` and `unlock` see to that.
  lockdep::Symbolizer& (*symbolizer)() = nullptr;
  void (*lock)() = nullptr;
  void (*unlock)() = nullptr;
  // What a person would call a class; null: its name.
  std::string (*class_words)(const std::string& name, lockdep::Symbolizer& symbolizer) = nullptr;
  // What `stat` says beside the validator's figures; null: nothing.
  std::string (*more_figures)(lockdep::Symbolizer& symbolizer) = nullptr;
  // Once for each hang: who waits for whom, beside the report of the circle.
  void (*print)(std::string_view text) = nullptr;
};

// Does nothing if this process has one; else the caller is its only thread, and makes the socket
// while nobody sees which numbers of descriptors that takes.  Thread-safe; may be called in any
// thread, outside of signal handlers.  errno stays as it is.
void start_watchdog(const Watchdog& watchdog);

// Counts the program's threads besides the first: a quarter of a second after there is none, ours
// ends.  Begins before start_watchdog is called for it.
void program_thread_begins();
void program_thread_ends();

// In a new child of fork, which has no threads: the next thread starts another one.
void watchdog_after_fork_in_child();

}  // namespace netfs::lockdep_preload
