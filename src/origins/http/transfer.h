#pragma once
// Transfer: one request of HTTP and what becomes of its answer; carried out by an Engine.
//
// Life: 1. made, with what is asked; 2. submitted; 3. head() once, if a whole head of a final
// answer came; 4. body() for each part of it, if the method has one; 5. ended() once, however it
// went. All of 3 to 5 on the engine's thread, without a lock; none may block.  The engine holds a
// reference until ended() has returned.
//
// Redirects are followed before head(), and so is a server's "come back later" (429 and 503 with
// Retry-After) waited out, where the deadline allows.

#include <cstddef>
#include <span>
#include <string>

#include "base/byte_range.h"
#include "base/clock.h"
#include "base/ref.h"
#include "base/result.h"
#include "origins/http/response_head.h"

namespace netfs::origins::http {

enum class Method : uint8_t {
  kHead,
  kGet,
  kPropfind,         // WebDAV's: of the URL alone
  kPropfindMembers,  // and of what lies in it
};

// Of a body that nobody wants this much is read, for the connection's sake; that of a longer one is
// ended.
inline constexpr uint64_t kUnwantedBytesMax = 64 * 1024;

struct TransferRequest {
  Method method = Method::kGet;
  std::string url;       // absolute, escaped
  ByteRange range;       // empty: the whole
  std::string if_range;  // an entity tag, or empty
  Deadline deadline;     // of all of it; never(): it looks after itself
  // Of an answer with status 200: an error ends the transfer before its body comes.
  Result<void> (*check)(const ResponseHead& head) = nullptr;
};

class Transfer : public RefCounted<Transfer> {
 public:
  enum class Taken : uint8_t {
    kAll,
    kPause,  // nothing was taken; the same bytes come again after Engine::resume()
  };

  explicit Transfer(TransferRequest request) : request_(std::move(request)) {}
  virtual ~Transfer() = default;

  [[nodiscard]] const TransferRequest& request() const { return request_; }

  // An answer leads on to `url`; false: it is not followed, head() gets it.
  virtual bool follow(const std::string& url) {
    (void)url;
    return true;
  }
  // An error ends the transfer, and is what ended() gets.
  virtual Result<void> head(const ResponseHead& head) = 0;
  virtual Result<Taken> body(std::span<const std::byte> bytes) = 0;
  virtual void ended(Result<void> result) = 0;

 private:
  const TransferRequest request_;
};

}  // namespace netfs::origins::http
