// Roles of contexts: what they are called in other runs.  Threads made by the same code have one.

#include <unistd.h>

#include "lockdep/hash.h"
#include "lockdep/inside.h"
#include "lockdep/module_of.h"
#include "lockdep/state.h"

namespace netfs::lockdep {

namespace {

uint64_t role_hash(const char* kind, const char* text) {
  uint64_t hash = 1;
  for (; *kind != '\0'; ++kind) hash = mix(hash, static_cast<unsigned char>(*kind));
  for (; *text != '\0'; ++text) hash = mix(hash, static_cast<unsigned char>(*text));
  return hash;
}

}  // namespace

// Of one that was not said to be born: the program's first thread, else all of its name.
uint64_t State::role_of(const Context& context) {
  if (context.kind_ == ContextKind::kWork) return role_hash("work ", context.name());
  if (context.id_ == static_cast<uint64_t>(::getpid())) return role_hash("main", "");
  return role_hash("thread ", context.name());
}

void Validator::born(Context& context, uintptr_t site) {
  const Inside inside;
  char place[128];
  if (stable_place(site, place, sizeof place) == 0) return;
  const uint64_t role = role_hash("born ", place);
  State& state = this->state();
  const SpinGuard guard(state.registry);
  if (context.born_) return;
  // The count starts at 1 for nobody: a map has no 0.
  uint32_t living = state.births.find(role);
  if (living == 0) living = 1;
  ++living;
  if ((living & ~State::kTwins) > 2) living |= State::kTwins;
  if (!state.births.set(state.context_arena, role, living)) return;
  context.role_ = role;
  context.born_ = true;
}

}  // namespace netfs::lockdep
