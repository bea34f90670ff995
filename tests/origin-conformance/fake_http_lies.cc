// What FakeHttpServer says: the truth, and its lies by name.

#include <cstdio>
#include <functional>
#include <map>
#include <vector>

#include "tests/origin-conformance/fake_http_answer.h"
#include "tests/origin-conformance/fake_http_server.h"

namespace netfs::test {
namespace {

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
  // As of what is made anew for each GET.
  lies["head-of-nothing"] = [](const FakeRequest& request) {
    Answer answer = honest(request);
    if (request.method == "HEAD") answer.fields["Content-Length"] = "0";
    return reply_of(answer);
  };
  lies["head-refused-once"] = [](const FakeRequest& request) {
    const bool refused = request.method == "HEAD" && request.number == 0;
    return refused ? status(405) : reply_of(honest(request));
  };
  // The tag is time and size; parts do not repeat the time.
  lies["parts-without-time"] = [](const FakeRequest& request) {
    Answer answer = honest(request, kFakeHttpSeed, "\"2ebc98a1-f4243\"");
    if (answer.status == 206) answer.fields.erase("Last-Modified");
    return reply_of(answer);
  };
  lies["one-byte"] = [](const FakeRequest& request) {
    Answer answer = whole(request, kFakeHttpSeed, "\"v1\"");
    answer.fields.erase("Accept-Ranges");
    answer.fields["Content-Length"] = "1";
    answer.body.resize(1);
    return reply_of(answer);
  };
  lies["empty"] = [](const FakeRequest& request) {
    Answer answer = whole(request, kFakeHttpSeed, "\"v1\"");
    answer.fields["Content-Length"] = "0";
    answer.body = "";
    return reply_of(answer);
  };
  lies["fresh"] = [](const FakeRequest& request) {
    Answer answer = honest(request);
    answer.fields["Date"] = "Sun, 06 Nov 1994 08:50:00 GMT";
    return reply_of(answer);
  };
  // Of the listing of that name; with a server's clock of long ago.
  lies["list-json-exact"] = [](const FakeRequest& request) {
    Answer answer = honest(request);
    answer.fields.erase("ETag");
    answer.fields["Date"] = kFakeHttpLongAgo;
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
  // Of one byte the longer half is the byte: who asks on for what is missing gets it all.
  lies["short-body"] = changed(
      [](Answer& answer, const FakeRequest&) { answer.body.resize((answer.body.size() + 1) / 2); },
      Then::kClose);
  lies["no-body"] =
      changed([](Answer& answer, const FakeRequest&) { answer.body = ""; }, Then::kClose);
  lies["long-body"] =
      changed([](Answer& answer, const FakeRequest&) { answer.body += "and more"; }, Then::kClose);
  lies["long-chunked"] = chunked([](const std::string& body) { return body + "and more"; });
  lies["short-chunked"] =
      chunked([](const std::string& body) { return body.substr(0, (body.size() + 1) / 2); });
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
  lies["tag-changes-early"] = [](const FakeRequest& request) {
    const bool later = request.method == "GET" && request.number >= 1;
    return reply_of(later ? honest(request, kFakeHttpOtherSeed, "\"v2\"") : honest(request));
  };
  lies["second-version"] = [](const FakeRequest& request) {
    return reply_of(honest(request, kFakeHttpOtherSeed, "\"v2\""));
  };
  // Other bytes, and fewer, under the tag of before: to whoever reads it, and to everybody.
  lies["shorter"] = [](const FakeRequest& request) {
    const bool reads = request.method == "GET";
    return reply_of(reads ? honest_of(request, short_content(), "\"v1\"") : honest(request));
  };
  lies["shorter-everywhere"] = [](const FakeRequest& request) {
    return reply_of(honest_of(request, short_content(), "\"v1\""));
  };
  lies["gone-later"] = [](const FakeRequest& request) {
    return request.method == "GET" && request.number >= 1 ? status(404) : reply_of(honest(request));
  };
  lies["grows-without-versions"] = [](const FakeRequest& request) {
    Answer answer = honest(request);
    for (const char* field : {"ETag", "Last-Modified"}) answer.fields.erase(field);
    if (request.method != "HEAD") {
      const Asked asked = range_of(request);
      answer.fields["Content-Range"] = content_range(asked.first, asked.last, kFakeHttpBytes + 7);
    }
    return reply_of(answer);
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
  for (const int code : {204, 300, 304, 401, 403, 404, 410, 418, 500, 502, 503, 504, 599}) {
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

// Of all that is asked.
FakeReply refused(int code) {
  if (code == 429) return status(code, {{"Retry-After", "1"}});
  return status(code);
}

}  // namespace

FakeReply lie(const FakeRequest& request, const std::string& elsewhere) {
  static const std::vector<std::map<std::string, Lie>> all = {
      harmless(), lies_of_ranges(), lies_of_content(), lies_of_form(), lies_of_status()};
  const std::string path = request.path.substr(0, request.path.find('?'));
  const size_t slash = path.find('/', 1);
  if (path.empty() || slash == std::string::npos) return status(404);
  const std::string name = path.substr(1, slash - 1);
  const std::string file = path.substr(slash + 1);
  if (name.starts_with("all-")) return refused(std::stoi(name.substr(4)));
  if (request.method == "PROPFIND") return list_by_webdav(name, request);
  if (file.empty()) return list(name, request, elsewhere);
  if (name.starts_with("redirect-")) return led_away(name, request, elsewhere);
  if (name == "list-slow" && file == "slow") return {.bytes = "", .then = Then::kStall};
  const bool all_names = name == "list-million" || name == "dav-empty";
  if (file != "file") return all_names ? reply_of(honest(request)) : status(404);
  for (const auto& lies : all) {
    const auto found = lies.find(name);
    if (found != lies.end()) return found->second(request);
  }
  return reply_of(honest(request));
}

}  // namespace netfs::test
