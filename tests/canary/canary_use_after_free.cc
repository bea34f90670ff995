// Reads memory that was given back: AddressSanitizer must stop it.

#include <cstdlib>

int main() {
  volatile char* byte = static_cast<char*>(std::malloc(1));
  std::free(const_cast<char*>(byte));
  return *byte == 'x' ? 1 : 0;
}
