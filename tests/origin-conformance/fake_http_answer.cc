#include "tests/origin-conformance/fake_http_answer.h"

#include <algorithm>
#include <cstdio>
#include <random>

#include "tests/support/tree.h"

namespace netfs::test {

namespace {

std::string text_of(const Answer& answer) {
  std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " So\r\n";
  for (const auto& [name, value] : answer.fields) text += name + ": " + value + "\r\n";
  return text + "\r\n" + (answer.has_body ? answer.body : "");
}

}  // namespace

const std::string& content(uint64_t seed) {
  static const std::string first = pattern(kFakeHttpSeed, 0, kFakeHttpBytes);
  static const std::string other = pattern(kFakeHttpOtherSeed, 0, kFakeHttpBytes);
  return seed == kFakeHttpSeed ? first : other;
}

const std::string& short_content() {
  static const std::string text = pattern(kFakeHttpOtherSeed, 0, kFakeHttpShortBytes);
  return text;
}

namespace {

Answer whole_of(const FakeRequest& request, const std::string& text, const std::string& tag) {
  return {.status = 200,
          .fields = {{"ETag", tag},
                     {"Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"},
                     {"Accept-Ranges", "bytes"},
                     {"Content-Length", std::to_string(text.size())}},
          .body = text,
          .has_body = request.method != "HEAD"};
}

}  // namespace

Answer whole(const FakeRequest& request, uint64_t seed, const std::string& tag) {
  return whole_of(request, content(seed), tag);
}

Asked range_of(const FakeRequest& request, uint64_t size_bytes) {
  unsigned long long first = 0;
  unsigned long long last = size_bytes - 1;
  (void)std::sscanf(request.field("range").c_str(), "bytes=%llu-%llu", &first, &last);
  return {first, std::min<uint64_t>(last, size_bytes - 1)};
}

Asked range_of(const FakeRequest& request) {
  return range_of(request, kFakeHttpBytes);
}

std::string content_range(uint64_t first, uint64_t last, uint64_t total) {
  return "bytes " + std::to_string(first) + "-" + std::to_string(last) + "/" +
         std::to_string(total);
}

Answer honest_of(const FakeRequest& request, const std::string& text, const std::string& tag) {
  Answer answer = whole_of(request, text, tag);
  const std::string condition = request.field("if-range");
  if (request.field("range").empty() || (!condition.empty() && condition != tag)) return answer;
  const Asked asked = range_of(request, text.size());
  if (asked.first >= text.size()) {
    answer.status = 416;
    answer.fields["Content-Range"] = "bytes */" + std::to_string(text.size());
    answer.body = "";
  } else {
    answer.status = 206;
    answer.fields["Content-Range"] = content_range(asked.first, asked.last, text.size());
    answer.body = text.substr(asked.first, asked.last - asked.first + 1);
  }
  answer.fields["Content-Length"] = std::to_string(answer.body.size());
  return answer;
}

Answer honest(const FakeRequest& request, uint64_t seed, const std::string& tag) {
  return honest_of(request, content(seed), tag);
}

FakeReply reply_of(const Answer& answer, Then then) {
  return {.bytes = text_of(answer), .then = then, .repeats = 0, .again = ""};
}

FakeReply status(int code, std::map<std::string, std::string> fields) {
  fields["Content-Length"] = "0";
  return reply_of({.status = code, .fields = std::move(fields), .body = ""});
}

FakeReply redirect(const std::string& to) {
  return status(302, {{"Location", to}});
}

FakeReply page(const FakeRequest& request, const std::string& body, const std::string& type) {
  return reply_of(
      {.status = 200,
       .fields = {{"Content-Type", type}, {"Content-Length", std::to_string(body.size())}},
       .body = body,
       .has_body = request.method != "HEAD"});
}

std::string rubbish() {
  std::mt19937_64 random(1);
  std::string bytes(100'000, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

}  // namespace netfs::test
