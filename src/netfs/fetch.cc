#include "netfs/fetch.h"

#include "netfs/read_request.h"

namespace netfs {

// Here, where the requests that wait for it are a complete type.
Fetch::Fetch(ByteRange range_bytes, Ref<Buffer> to, uint64_t request, MonoTime until)
    : range(range_bytes),
      buffer(std::move(to)),
      request_id(request),
      deadline(until),
      awaited(request != 0) {}

Fetch::~Fetch() = default;

}  // namespace netfs
