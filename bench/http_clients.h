#pragma once
// The clients that bench_http compares, each as a side of a row.
//
// Every run mounts anew with an empty cache.  Mounts stand before the clock starts; curl connects
// in its time, which is two round trips.

#include <functional>
#include <memory>
#include <string>

#include "harness/lab.h"

namespace netfs::bench {

// One server by the addresses it is asked at: "http://127.0.0.1:20011".
struct HttpServer {
  std::string plain;
  std::string dav;  // the same files by WebDAV; empty: it has none
};

// What is read, and from where.
struct HttpTask {
  std::string remote;  // a folder: an absolute path, at the server the same
  std::function<Result<Work>(const Mount&)> work;
  std::shared_ptr<std::string> said{};  // null, or what netfs counted is put there after each run
};

Side netfs_http_side(Lab& lab, const HttpServer& server, const HttpTask& task);
// As somebody sets it up whose server allows more connections than what is asked for unasked.
Side netfs_wide_http_side(Lab& lab, const HttpServer& server, HttpTask task);
Side rclone_http_side(Lab& lab, const HttpServer& server, const HttpTask& task);
// The same by its WebDAV; needs `server.dav`.
Side rclone_webdav_side(Lab& lab, const HttpServer& server, const HttpTask& task);
// davfs2, with a cache directory of its own; needs `server.dav`.
Side davfs_side(Lab& lab, const HttpServer& server, const HttpTask& task);
// `curl -o FILE` to the cache's disk.
Side curl_side(Lab& lab, const HttpServer& server, const FileSpec& source);

}  // namespace netfs::bench
