// Two threads write one number without a lock: ThreadSanitizer must see it.

#include <pthread.h>

namespace {

int number = 0;

void* count(void*) {
  for (int i = 0; i < 1000; ++i) ++number;
  return nullptr;
}

}  // namespace

int main() {
  pthread_t other{};
  pthread_create(&other, nullptr, count, nullptr);
  count(nullptr);
  pthread_join(other, nullptr);
  return number == 0 ? 1 : 0;
}
