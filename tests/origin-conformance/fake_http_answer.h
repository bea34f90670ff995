#pragma once
// What FakeHttpServer's lies are made of: the honest answer, to be changed.  For fake_http_*.cc.

#include <cstdint>
#include <map>
#include <string>

#include "tests/origin-conformance/fake_http_server.h"

namespace netfs::test {

// A little after the file's Last-Modified.
inline constexpr const char* kFakeHttpLongAgo = "Sun, 06 Nov 1994 08:49:39 GMT";

// An answer before it is put into bytes.
struct Answer {
  int status = 200;
  std::map<std::string, std::string> fields;
  std::string body;
  bool has_body = true;  // of HEAD there is none, whatever Content-Length says
};

struct Asked {
  uint64_t first = 0;
  uint64_t last = 0;
};

// One of the two versions' bytes.
const std::string& content(uint64_t seed);
Asked range_of(const FakeRequest& request);
std::string content_range(uint64_t first, uint64_t last, uint64_t total);

// The first bytes of the later version, for a file that is shorter.
const std::string& short_content();
Asked range_of(const FakeRequest& request, uint64_t size_bytes);
// What was asked of a file that holds `text`.
Answer honest_of(const FakeRequest& request, const std::string& text, const std::string& tag);

// The whole file, whatever was asked.
Answer whole(const FakeRequest& request, uint64_t seed, const std::string& tag);
// What was asked, by range and If-Range.
Answer honest(const FakeRequest& request, uint64_t seed = kFakeHttpSeed,
              const std::string& tag = "\"v1\"");

FakeReply reply_of(const Answer& answer, Then then = Then::kGoOn);
FakeReply status(int code, std::map<std::string, std::string> fields = {});
FakeReply redirect(const std::string& to);
FakeReply page(const FakeRequest& request, const std::string& body,
               const std::string& type = "text/html");
std::string rubbish();

// fake_http_lists.cc: what stands at /LIE/.
FakeReply list(const std::string& lie, const FakeRequest& request, const std::string& elsewhere);
// fake_http_webdav.cc: what is said to PROPFIND of it.
FakeReply list_by_webdav(const std::string& lie, const FakeRequest& request);
// /LIE/file of lies that lead elsewhere.
FakeReply led_away(const std::string& how, const FakeRequest& request,
                   const std::string& elsewhere);

}  // namespace netfs::test
