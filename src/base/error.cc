#include "base/error.h"

#include <cstring>

namespace netfs {

std::string Error::message() const {
  if (!detail_.empty()) return detail_;
  char text[128];
  return std::string(context_) + ": " + strerror_r(code_, text, sizeof text);
}

}  // namespace netfs
