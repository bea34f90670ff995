// FakeHttpServer's answers to PROPFIND: the truth of the lies whose names begin with "dav-", and
// what each of them makes of it once members are asked for.  All others do not know the method.

#include "tests/origin-conformance/fake_http_answer.h"
#include "tests/support/wait.h"

namespace netfs::test {

namespace {

std::string dav_response(const std::string& href, const std::string& properties) {
  return "<D:response><D:href>" + href + "</D:href><D:propstat><D:prop>" + properties +
         "</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>";
}

std::string dav_directory(const std::string& href) {
  return dav_response(href, "<D:resourcetype><D:collection/></D:resourcetype>");
}

std::string dav_file(const std::string& href, const std::string& tag = "\"v1\"",
                     uint64_t size_bytes = kFakeHttpBytes) {
  return dav_response(href, "<D:resourcetype/><D:getcontentlength>" + std::to_string(size_bytes) +
                                "</D:getcontentlength><D:getlastmodified>Sun, 06 Nov 1994 08:49:37 "
                                "GMT</D:getlastmodified><D:getetag>" +
                                tag + "</D:getetag>");
}

std::string multistatus(const std::string& responses) {
  return "<?xml version=\"1.0\"?>\n<D:multistatus xmlns:D=\"DAV:\">" + responses +
         "</D:multistatus>";
}

FakeReply said(const std::string& body, int code = 207,
               const std::string& type = "application/xml") {
  return reply_of(
      {.status = code,
       .fields = {{"Content-Type", type}, {"Content-Length", std::to_string(body.size())}},
       .body = body});
}

std::string space_after_a_moment(unsigned /*number*/) {
  (void)wait_until([] { return false; }, std::chrono::milliseconds(50));
  return " ";
}

// An answer that comes for ever.
FakeReply trickle() {
  FakeReply reply =
      reply_of({.status = 207,
                .fields = {{"Content-Type", "application/xml"}, {"Content-Length", "200000"}},
                .body = "<?xml version=\"1.0\"?>\n"});
  reply.repeats = 200'000;
  reply.part = space_after_a_moment;
  return reply;
}

}  // namespace

FakeReply list_by_webdav(const std::string& lie, const FakeRequest& request) {
  if (!lie.starts_with("dav-")) return status(405);
  const std::string& here = request.path;
  const std::string honest = dav_directory(here) + dav_file(here + "file");
  if (lie == "dav-never") return said("<html>Hello</html>", 200, "text/html");
  if (lie == "dav-swallowed") return {.bytes = "", .then = Then::kStall};
  if (lie == "dav-trickle") return trickle();
  if (request.field("depth") == "0") return said(multistatus(dav_directory(here)));
  if (lie.starts_with("dav-refused")) return status(405);
  // After the first one of each directory so many are refused.
  if (lie == "dav-learns" && request.number <= 9) return status(405);
  if (lie == "dav-page") return said("<html>Hello</html>", 200, "text/html");
  if (lie == "dav-rubbish") return said(rubbish());
  // More than the largest that is taken; none of it comes.
  if (lie.starts_with("dav-large")) {
    return reply_of(
        {.status = 207,
         .fields = {{"Content-Type", "application/xml"}, {"Content-Length", "200000000"}},
         .body = ""},
        Then::kStall);
  }
  if (lie.starts_with("dav-busy")) return status(503);
  if (lie.starts_with("dav-late")) return status(504);
  if (lie.starts_with("dav-broken")) return status(500);
  if (lie == "dav-cut" || lie == "dav-rubbish-only") {
    return said(multistatus(honest).substr(0, honest.size() / 2));
  }
  if (lie == "dav-bomb") {
    return said("<?xml version=\"1.0\"?><!DOCTYPE m [<!ENTITY a \"" + std::string(1000, 'x') +
                "\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>" +
                multistatus(dav_directory(here) + dav_file(here + "&b;")).substr(21));
  }
  if (lie == "dav-of-other") return said(multistatus(dav_directory("/x/") + dav_file("/x/other")));
  if (lie == "dav-far") {
    return said(multistatus(dav_directory("http://far.example" + here) +
                            dav_file("http://far.example" + here + "other")));
  }
  if (lie == "dav-evil") {
    return said(multistatus(honest + dav_directory("/") + dav_file("/etc/passwd") +
                            dav_file(here + "a/b") + dav_file(here + "a%2fb") +
                            dav_file(here + "%2e%2e") + dav_file(here + "a%00b") +
                            dav_file("http://far.example" + here + "x") + dav_file(here + "file")));
  }
  if (lie == "dav-empty") {
    return said(multistatus(honest + dav_file(here + "made", "\"v1\"", 0)));
  }
  if (lie == "dav-other-tag") {
    return said(multistatus(dav_directory(here) + dav_file(here + "file", "\"v0\"")));
  }
  return said(multistatus(honest));
}

}  // namespace netfs::test
