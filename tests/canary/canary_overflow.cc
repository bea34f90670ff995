// Overflows a signed number: UndefinedBehaviorSanitizer must stop it.

#include <climits>

int main(int argc, char**) {
  volatile int number = INT_MAX;
  number = number + argc;
  return number == 0 ? 1 : 0;
}
