// FakeHttpServer's listings and redirects.

#include "tests/origin-conformance/fake_http_answer.h"

namespace netfs::test {

namespace {

std::string listing(const std::string& links) {
  return "<html><head><title>Index of /x/</title></head><body>" + links + "</body></html>";
}

}  // namespace

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
  if (how == "redirect-with-page" && request.method == "GET") {
    const std::string text(512 * 1024, ' ');
    return reply_of({.status = 302,
                     .fields = {{"Location", elsewhere + "healthy/file"},
                                {"Content-Length", std::to_string(text.size())}},
                     .body = text});
  }
  return redirect(elsewhere + "healthy/file");
}

// What stands at /LIE/.
FakeReply list(const std::string& lie, const FakeRequest& request, const std::string& elsewhere) {
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
  if (lie == "list-stream") {
    return {
        .bytes = "HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nConnection: close\r\n\r\n",
        .then = Then::kClose,
        .repeats = request.method == "HEAD" ? 0U : 300U,
        .again = std::string(1 << 20, ' ')};
  }
  if (lie == "list-led-away" && request.method == "GET") return redirect("/list-evil/");
  if (lie == "list-led-aside" && request.method == "GET" && !elsewhere.empty()) {
    return redirect(elsewhere + "list-led-aside/?of=files");
  }
  if (lie == "list-slow") return page(request, listing("<a href=\"slow\">" + file));
  if (lie == "list-json-exact") {
    return reply_of({.status = 200,
                     .fields = {{"Content-Type", "application/json"},
                                {"Content-Length", "91"},
                                {"Date", kFakeHttpLongAgo}},
                     .body =
                         "[{ \"name\":\"file\", \"type\":\"file\", \"mtime\":\"Sun, 06 Nov 1994 "
                         "08:49:37 GMT\", \"size\":1000003 }]",
                     .has_body = request.method != "HEAD"});
  }
  if (lie == "list-binary") return page(request, "<title>Index of /x/</title>" + rubbish());
  if (lie == "list-rubbish") return page(request, rubbish());
  if (lie == "list-json-rubbish") return page(request, "[{" + rubbish(), "application/json");
  if (lie == "list-page") return page(request, "<html><title>Welcome</title>" + file + "</html>");
  const bool refused = lie == "list-refused" || lie.ends_with("-only");
  if (refused && request.method == "GET") return status(403);
  if (lie.ends_with("-gone") && request.method == "GET") return status(404);
  if (lie == "list-evil") {
    return page(
        request,
        listing("<a href=\"../\"><a href=\"%2e%2e\"><a href=\"/etc/passwd\"><a href=\"a/b\">"
                "<a href=\"a%2fb\"><a href=\"a%00b\"><a href=\"http://evil.example/x\">" +
                file + file));
  }
  return page(request, listing("<a href=\"../\">../</a>\n" + file));
}

}  // namespace netfs::test
