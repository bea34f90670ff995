#include "lockdep/state.h"

#include <new>
#include <sys/mman.h>

#include "base/assert.h"
#include "lockdep/hash.h"
#include "lockdep/inside.h"

namespace netfs::lockdep {

__thread int t_inside __attribute__((tls_model("initial-exec"))) = 0;

namespace {

// Class caches of one validator must not be taken for those of another.
std::atomic<uint32_t> next_epoch{1};

size_t state_bytes() {
  return (sizeof(State) + 4095) & ~size_t{4095};
}

}  // namespace

State::State(Validator& owner) : validator(owner) {
  arena.limit(owner.options_.memory_bytes_max);
}

State& Validator::state() {
  State* state = state_.load(std::memory_order_acquire);
  if (state != nullptr) return *state;
  void* memory =
      ::mmap(nullptr, state_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  NETFS_ASSERT(memory != MAP_FAILED);
  auto* made = new (memory) State(*this);
  if (state_.compare_exchange_strong(state, made, std::memory_order_acq_rel)) {
    epoch_.store(next_epoch.fetch_add(1, std::memory_order_relaxed), std::memory_order_relaxed);
    return *made;
  }
  made->~State();
  ::munmap(memory, state_bytes());
  return *state;
}

Validator::~Validator() {
  State* state = state_.load(std::memory_order_acquire);
  if (state == nullptr) return;
  NETFS_ASSERT(state->contexts == nullptr);
  chains_.free(state->arena);
  state->~State();
  ::munmap(state, state_bytes());
}

void Validator::reset() {
  const Inside inside;
  state().reset();
}

void State::reset() {
  const SpinGuard guard(lock);
  validator.chains_.free(arena);
  arena.free_all();
  learnt = Learnt();
  pending.store(false, std::memory_order_relaxed);
  orphaned.store(false, std::memory_order_relaxed);
  validator.epoch_.store(next_epoch.fetch_add(1, std::memory_order_relaxed),
                         std::memory_order_relaxed);
  const SpinGuard contexts_guard(registry);
  for (Context* context = contexts; context != nullptr; context = context->next_) {
    NETFS_ASSERT(context->depth() == 0);
    context->segment_ = 0;
  }
}

void State::enlist(Context& context) {
  context.serial_ = next_serial.fetch_add(1, std::memory_order_relaxed);
  context.seed_ = mix(kContextStart, context.serial_);
  const SpinGuard guard(registry);
  context.next_ = contexts;
  if (contexts != nullptr) contexts->previous_ = &context;
  contexts = &context;
  context.listed_ = true;
  ++context_count;
}

void State::delist(Context& context) {
  const SpinGuard guard(registry);
  if (!context.listed_) return;
  context.listed_ = false;
  (context.previous_ != nullptr ? context.previous_->next_ : contexts) = context.next_;
  if (context.next_ != nullptr) context.next_->previous_ = context.previous_;
  --context_count;
  if (!context.born_) return;
  // At 1 it is kept, for 0 is no value; `born` counts from there.
  const uint32_t living = births.find(context.role_);
  if ((living & ~kTwins) > 1) (void)births.set(context_arena, context.role_, living - 1);
}

// Each finding is taken out under the lock, and made a report and freed without it.
void State::deliver_all() {
  for (;;) {
    Finding* finding = nullptr;
    {
      const SpinGuard guard(lock);
      finding = learnt.first;
      if (finding == nullptr) {
        pending.store(false, std::memory_order_relaxed);
        return;
      }
      learnt.first = finding->next;
      if (learnt.first == nullptr) learnt.last = nullptr;
      ++learnt.reports;
    }
    if (validator.options_.sink != nullptr) {
      const Report report = make_report(*finding, learnt.stacks);
      validator.options_.sink(validator.options_.sink_user, report);
    }
    free_finding(arena, finding);
  }
}

void State::deliver_from(const Context& context) {
  if (context.handlers_ == 0 && pending.load(std::memory_order_relaxed)) deliver_all();
}

void Validator::deliver() {
  const Inside inside;
  if (inside) state().deliver_all();
}

}  // namespace netfs::lockdep
