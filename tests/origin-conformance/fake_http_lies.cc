// What FakeHttpServer says: the truth, and its lies by name.

#include <cstdio>
#include <functional>
#include <map>
#include <random>

#include "tests/origin-conformance/fake_http_server.h"
#include "tests/support/tree.h"

namespace netfs::test {
namespace {

// An answer before it is put into bytes.
struct Answer {
  int status = 200;
  std::map<std::string, std::string> fields;
  std::string body;
  bool has_body = true;  // of HEAD there is none, whatever Content-Length says
};

const std::string& content(uint64_t seed) {
  static const std::string first = pattern(kFakeHttpSeed, 0, kFakeHttpBytes);
  static const std::string other = pattern(kFakeHttpOtherSeed, 0, kFakeHttpBytes);
  return seed == kFakeHttpSeed ? first : other;
}

std::string text_of(const Answer& answer) {
  std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " So\r\n";
  for (const auto& [name, value] : answer.fields) text += name + ": " + value + "\r\n";
  return text + "\r\n" + (answer.has_body ? answer.body : "");
}

Answer whole(const FakeRequest& request, uint64_t seed, const std::string& tag) {
  return {.status = 200,
          .fields = {{"ETag", tag},
                     {"Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"},
                     {"Accept-Ranges", "bytes"},
                     {"Content-Length", std::to_string(kFakeHttpBytes)}},
          .body = content(seed),
          .has_body = request.method != "HEAD"};
}

struct Asked {
  uint64_t first = 0;
  uint64_t last = 0;
};

Asked range_of(const FakeRequest& request) {
  unsigned long long first = 0;
  unsigned long long last = kFakeHttpBytes - 1;
  (void)std::sscanf(request.field("range").c_str(), "bytes=%llu-%llu", &first, &last);
  return {first, std::min<uint64_t>(last, kFakeHttpBytes - 1)};
}

std::string content_range(uint64_t first, uint64_t last, uint64_t total) {
  return "bytes " + std::to_string(first) + "-" + std::to_string(last) + "/" +
         std::to_string(total);
}

Answer honest(const FakeRequest& request, uint64_t seed = kFakeHttpSeed,
              const std::string& tag = "\"v1\"") {
  Answer answer = whole(request, seed, tag);
  const std::string condition = request.field("if-range");
  if (request.field("range").empty() || (!condition.empty() && condition != tag)) return answer;
  const Asked asked = range_of(request);
  if (asked.first >= kFakeHttpBytes) {
    answer.status = 416;
    answer.fields["Content-Range"] = "bytes */" + std::to_string(kFakeHttpBytes);
    answer.body = "";
  } else {
    answer.status = 206;
    answer.fields["Content-Range"] = content_range(asked.first, asked.last, kFakeHttpBytes);
    answer.body = content(seed).substr(asked.first, asked.last - asked.first + 1);
  }
  answer.fields["Content-Length"] = std::to_string(answer.body.size());
  return answer;
}

FakeReply reply_of(const Answer& answer, Then then = Then::kGoOn) {
  return {.bytes = text_of(answer), .then = then, .repeats = 0, .again = ""};
}

FakeReply status(int code, std::map<std::string, std::string> fields = {}) {
  fields["Content-Length"] = "0";
  return reply_of({.status = code, .fields = std::move(fields), .body = ""});
}

FakeReply redirect(const std::string& to) {
  return status(302, {{"Location", to}});
}

std::string listing(const std::string& links) {
  return "<html><head><title>Index of /x/</title></head><body>" + links + "</body></html>";
}

FakeReply page(const FakeRequest& request, const std::string& body,
               const std::string& type = "text/html") {
  return reply_of(
      {.status = 200,
       .fields = {{"Content-Type", type}, {"Content-Length", std::to_string(body.size())}},
       .body = body,
       .has_body = request.method != "HEAD"});
}

using Lie = std::function<FakeReply(const FakeRequest&)>;

// A lie that changes the honest answer to a GET.
Lie changed(const std::function<void(Answer&, const FakeRequest&)>& change,
            Then then = Then::kGoOn) {
  return [=](const FakeRequest& request) {
    Answer answer = honest(request);
    if (request.method == "HEAD") return reply_of(answer);
    change(answer, request);
    return reply_of(answer, then);
  };
}

Lie chunked(const std::function<std::string(const std::string&)>& body) {
  return changed([=](Answer& answer, const FakeRequest&) {
    const std::string bytes = body(answer.body);
    char size[32];
    std::snprintf(size, sizeof(size), "%zx\r\n", bytes.size());
    answer.fields.erase("Content-Length");
    answer.fields["Transfer-Encoding"] = "chunked";
    answer.body = size + bytes + "\r\n0\r\n\r\n";
  });
}

// One whose GET is nothing like an answer.
Lie raw(const std::string& bytes, Then then, unsigned repeats = 0, const std::string& again = "") {
  return [=](const FakeRequest& request) {
    if (request.method == "HEAD") return reply_of(honest(request));
    return FakeReply{.bytes = bytes, .then = then, .repeats = repeats, .again = again};
  };
}

std::string rubbish() {
  std::mt19937_64 random(1);
  std::string bytes(100'000, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

Lie set(const std::string& name, const std::string& value) {
  return changed([=](Answer& answer, const FakeRequest&) { answer.fields[name] = value; });
}

std::map<std::string, Lie> harmless() {
  std::map<std::string, Lie> lies;
  lies["healthy"] = [](const FakeRequest& request) { return reply_of(honest(request)); };
  lies["whole-instead"] = [](const FakeRequest& request) {
    return reply_of(whole(request, kFakeHttpSeed, "\"v1\""));
  };
  lies["whole-at-times"] = [](const FakeRequest& request) {
    return reply_of(request.number % 2 == 0 ? whole(request, kFakeHttpSeed, "\"v1\"")
                                            : honest(request));
  };
  lies["head-refused"] = [](const FakeRequest& request) {
    return request.method == "HEAD" ? status(405) : reply_of(honest(request));
  };
  lies["head-without-length"] = [](const FakeRequest& request) {
    Answer answer = honest(request);
    if (request.method == "HEAD") answer.fields.erase("Content-Length");
    return reply_of(answer);
  };
  return lies;
}

std::map<std::string, Lie> lies_of_ranges() {
  std::map<std::string, Lie> lies;
  lies["wrong-start"] = changed([](Answer& answer, const FakeRequest& request) {
    const Asked asked = range_of(request);
    answer.fields["Content-Range"] = content_range(asked.first + 1, asked.last + 1, 9'999'999);
  });
  lies["wrong-total"] = changed([](Answer& answer, const FakeRequest& request) {
    const Asked asked = range_of(request);
    answer.fields["Content-Range"] = content_range(asked.first, asked.last, kFakeHttpBytes + 7);
  });
  lies["more-than-asked"] = changed([](Answer& answer, const FakeRequest&) {
    answer.fields["Content-Range"] = content_range(0, kFakeHttpBytes - 1, kFakeHttpBytes);
    answer.fields["Content-Length"] = std::to_string(kFakeHttpBytes);
    answer.body = content(kFakeHttpSeed);
  });
  lies["less-than-asked"] = changed([](Answer& answer, const FakeRequest& request) {
    const Asked asked = range_of(request);
    const uint64_t last = asked.first + (asked.last - asked.first) / 2;
    answer.fields["Content-Range"] = content_range(asked.first, last, kFakeHttpBytes);
    answer.body.resize(last - asked.first + 1);
    answer.fields["Content-Length"] = std::to_string(answer.body.size());
  });
  lies["no-content-range"] =
      changed([](Answer& answer, const FakeRequest&) { answer.fields.erase("Content-Range"); });
  lies["nonsense-content-range"] = set("Content-Range", "bytes all");
  lies["other-length"] = changed([](Answer& answer, const FakeRequest&) {
    answer.body += "x";
    answer.fields["Content-Length"] = std::to_string(answer.body.size());
  });
  lies["short-body"] = changed(
      [](Answer& answer, const FakeRequest&) { answer.body.resize(answer.body.size() / 2); },
      Then::kClose);
  lies["no-body"] =
      changed([](Answer& answer, const FakeRequest&) { answer.body = ""; }, Then::kClose);
  lies["long-body"] =
      changed([](Answer& answer, const FakeRequest&) { answer.body += "and more"; }, Then::kClose);
  lies["long-chunked"] = chunked([](const std::string& body) { return body + "and more"; });
  lies["short-chunked"] =
      chunked([](const std::string& body) { return body.substr(0, body.size() / 2); });
  return lies;
}

std::map<std::string, Lie> lies_of_content() {
  std::map<std::string, Lie> lies;
  lies["gzip"] = set("Content-Encoding", "gzip");
  lies["transfer-gzip"] = set("Transfer-Encoding", "gzip, chunked");
  lies["gzip-everywhere"] = [](const FakeRequest& request) {
    Answer answer = honest(request);
    answer.fields["Content-Encoding"] = "gzip";
    return reply_of(answer);
  };
  lies["tag-changes"] = [](const FakeRequest& request) {
    const bool later = request.method == "GET" && request.number >= 3;
    return reply_of(later ? honest(request, kFakeHttpOtherSeed, "\"v2\"") : honest(request));
  };
  lies["tag-changes-unconditionally"] = [](const FakeRequest& request) {
    FakeRequest plain = request;
    plain.fields.erase("if-range");
    const bool later = request.method == "GET" && request.number >= 3;
    return reply_of(later ? honest(plain, kFakeHttpOtherSeed, "\"v2\"") : honest(plain));
  };
  lies["gone-later"] = [](const FakeRequest& request) {
    return request.method == "GET" && request.number >= 1 ? status(404) : reply_of(honest(request));
  };
  lies["error-page"] = [](const FakeRequest& request) {
    if (request.method == "HEAD") return reply_of(honest(request));
    return page(request, "<html>Something went wrong. Please try again.</html>");
  };
  lies["error-page-of-that-length"] = [](const FakeRequest& request) {
    if (request.method == "HEAD") return reply_of(honest(request));
    return page(request, std::string(kFakeHttpBytes, 'e'));
  };
  return lies;
}

std::map<std::string, Lie> lies_of_form() {
  std::map<std::string, Lie> lies;
  lies["cut-head"] = raw("HTTP/1.1 206 Partial Content\r\nContent-Ra", Then::kClose);
  lies["cut-before-end-of-head"] =
      raw("HTTP/1.1 200 OK\r\nContent-Length: 1000003\r\nETag: \"v1\"\r\n", Then::kClose);
  lies["cut-status"] = raw("HTTP/1.", Then::kClose);
  lies["no-head"] = raw("", Then::kClose);
  lies["body-alone"] = raw("just some text\n", Then::kClose);
  lies["binary"] = raw(rubbish(), Then::kClose);
  lies["endless-head"] = raw("HTTP/1.1 206 So\r\n", Then::kStall, 100'000,
                             "X-More: " + std::string(500, 'x') + "\r\n");
  lies["endless-continue"] = raw("", Then::kStall, 200'000, "HTTP/1.1 100 Continue\r\n\r\n");
  lies["two-lengths"] =
      raw("HTTP/1.1 206 So\r\nContent-Length: 5\r\nContent-Length: 6\r\nContent-Range: bytes "
          "0-4/1000003\r\n\r\nhello!",
          Then::kGoOn);
  lies["nul-in-head"] =
      raw("HTTP/1.1 206 So\r\nETag: \"v" + std::string(1, '\0') + "1\"\r\n\r\n", Then::kClose);
  lies["stall"] = raw("", Then::kStall);
  lies["stall-in-head"] = raw("HTTP/1.1 206 So\r\nETag: \"v1\"\r\n", Then::kStall);
  lies["stall-in-body"] = changed(
      [](Answer& answer, const FakeRequest&) { answer.body.resize(answer.body.size() / 2); },
      Then::kStall);
  return lies;
}

std::map<std::string, Lie> lies_of_status() {
  std::map<std::string, Lie> lies;
  for (const int code : {204, 300, 304, 401, 403, 404, 410, 418, 500, 503, 599}) {
    lies["status-" + std::to_string(code)] = [code](const FakeRequest& request) {
      return request.method == "HEAD" ? reply_of(honest(request)) : status(code);
    };
  }
  lies["busy-once"] = [](const FakeRequest& request) {
    const bool busy = request.method == "GET" && request.number == 0;
    return busy ? status(429, {{"Retry-After", "1"}}) : reply_of(honest(request));
  };
  lies["busy-always"] = [](const FakeRequest& request) {
    return request.method == "GET" ? status(429, {{"Retry-After", "0"}})
                                   : reply_of(honest(request));
  };
  lies["busy-for-long"] = [](const FakeRequest& request) {
    return request.method == "GET" ? status(503, {{"Retry-After", "999999"}})
                                   : reply_of(honest(request));
  };
  return lies;
}

// Redirects; `elsewhere` is another server's URL.
FakeReply led_away(const std::string& how, const FakeRequest& request,
                   const std::string& elsewhere) {
  if (how == "redirect-loop") return redirect(request.path);
  if (how == "redirect-ever-on") return redirect(request.path + "x");
  if (how == "redirect-file") return redirect("file:///etc/passwd");
  if (how == "redirect-ftp") return redirect("ftp://127.0.0.1/x");
  if (how == "redirect-nonsense") return redirect("http://[");
  if (how == "redirect-with-login") {
    return redirect("http://mallory:pw@" + elsewhere.substr(7) + "healthy/file");
  }
  return redirect(elsewhere + "healthy/file");
}

// What stands at /LIE/.
FakeReply list(const std::string& lie, const FakeRequest& request) {
  const std::string file = "<a href=\"file\">file</a>\n";
  if (lie == "list-million") {
    std::string links;
    for (int i = 0; i < 1'000'000; ++i) links += "<a href=" + std::to_string(i) + ">x\n";
    return page(request, listing(links));
  }
  if (lie == "list-too-many") {
    std::string links;
    for (int i = 0; i < 1'600'000; ++i) links += "<a href=" + std::to_string(i) + ">x\n";
    return page(request, listing(links));
  }
  if (lie == "list-too-long") {
    return {.bytes = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<title>Index of /</title>",
            .then = Then::kClose,
            .repeats = request.method == "HEAD" ? 0U : 300U,
            .again = std::string(1 << 20, ' ')};
  }
  if (lie == "list-binary") return page(request, "<title>Index of /x/</title>" + rubbish());
  if (lie == "list-rubbish") return page(request, rubbish());
  if (lie == "list-json-rubbish") return page(request, "[{" + rubbish(), "application/json");
  if (lie == "list-page") return page(request, "<html><title>Welcome</title>" + file + "</html>");
  if (lie == "list-refused" && request.method == "GET") return status(403);
  if (lie == "list-evil") {
    return page(
        request,
        listing("<a href=\"../\"><a href=\"%2e%2e\"><a href=\"/etc/passwd\"><a href=\"a/b\">"
                "<a href=\"a%2fb\"><a href=\"a%00b\"><a href=\"http://evil.example/x\">" +
                file + file));
  }
  return page(request, listing("<a href=\"../\">../</a>\n" + file));
}

}  // namespace

FakeReply lie(const FakeRequest& request, const std::string& elsewhere) {
  static const std::vector<std::map<std::string, Lie>> all = {
      harmless(), lies_of_ranges(), lies_of_content(), lies_of_form(), lies_of_status()};
  const size_t slash = request.path.find('/', 1);
  if (request.path.empty() || slash == std::string::npos) return status(404);
  const std::string name = request.path.substr(1, slash - 1);
  const std::string file = request.path.substr(slash + 1);
  if (file.empty()) return list(name, request);
  if (name.starts_with("redirect-")) return led_away(name, request, elsewhere);
  if (file != "file") return name == "list-million" ? reply_of(honest(request)) : status(404);
  for (const auto& lies : all) {
    const auto found = lies.find(name);
    if (found != lies.end()) return found->second(request);
  }
  return reply_of(honest(request));
}

}  // namespace netfs::test
