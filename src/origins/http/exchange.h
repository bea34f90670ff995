#pragma once
// Exchange: one transfer under way in an Engine: libcurl's handle for it, the head as it comes, the
// redirects so far.  The engine's thread only.

#include <curl/curl.h>
#include <memory>
#include <optional>
#include <string>

#include "base/ref.h"
#include "base/result.h"
#include "origins/http/response_head.h"
#include "origins/http/transfer.h"

namespace netfs::origins::http {

class Engine;
struct Settings;

class Exchange {
 public:
  Exchange(Engine& engine, Ref<Transfer> transfer);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // Makes the handle ready to ask `url_`.  ENOMEM.
  Result<void> prepare();

  // What is to be done once the answer has come, or what came of it.
  enum class Next : uint8_t { kDone, kFollow, kComeBack };
  struct Verdict {
    Next next = Next::kDone;
    Result<void> result;
    Duration pause{};  // of kComeBack
  };
  Verdict judge(CURLcode code);

  [[nodiscard]] CURL* handle() const { return handle_.get(); }
  [[nodiscard]] Transfer& transfer() const { return *transfer_; }
  [[nodiscard]] uint16_t local_port() const;
  // Takes no more of the answer.  What libcurl holds back for a paused one is freed by that; with
  // HTTP/2 it would else be lost.
  void let_go();

  bool in_multi = false;

 private:
  static size_t on_header(char* data, size_t size, size_t count, void* self);
  static size_t on_body(char* data, size_t size, size_t count, void* self);
  // Once the head is complete.
  void head_came();
  // Where a redirect leads, without login; EIO when it leads where nobody may.
  Result<std::string> target() const;
  static void set_trust(CURL* easy, const Settings& settings);
  void set_login();

  struct Cleanup {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  };
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  Engine& engine_;
  const Ref<Transfer> transfer_;
  std::unique_ptr<CURL, Cleanup> handle_;
  std::unique_ptr<curl_slist, FreeList> lines_;
  std::string url_;  // of this leg
  char detail_[CURL_ERROR_SIZE] = {};

  ResponseHead head_;
  size_t head_bytes_ = 0;
  size_t skipped_bytes_ = 0;  // of bodies that nobody wants
  bool head_seen_ = false;    // it was judged
  bool paused_ = false;       // the last part of the body was not taken
  Next next_ = Next::kDone;
  Duration pause_{};
  std::optional<Error> error_;
  unsigned redirects_ = 0;
  unsigned come_backs_ = 0;
};

}  // namespace netfs::origins::http
