#pragma once
// Settings: what one HTTP origin is asked for and as whom, made from its URL and options.
//
// Secrets come from files or from the environment of the process that serves the mount, and stand
// in no message.  EINVAL, or what a file could not be opened with, with a sentence.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "origins/module.h"

namespace netfs::origins::http {

struct Settings {
  std::string server;  // "https://host:8443": scheme, host and port as written, lower case
  std::string path;    // decoded, begins with '/', as the user wrote its end

  std::string user;  // with password: Basic
  std::string password;
  std::string bearer;
  bool netrc = false;
  std::string netrc_file;   // empty: the user's own
  std::string certificate;  // of the client, PEM
  std::string key;          // its key, unless the certificate's file holds it
  std::string ca_cert;      // the only CAs that are believed; empty: the system's
  std::string user_agent;
  unsigned connections = 18;
  bool webdav = true;  // where the server speaks it
  Duration timeout = std::chrono::seconds(30);

  [[nodiscard]] bool has_login() const {
    return !user.empty() || !bearer.empty() || netrc || !certificate.empty();
  }

  // Who is asked for, without a secret: part of the volume's key.
  std::string identity;

  static Result<Settings> parse(const OriginRequest& request);
};

}  // namespace netfs::origins::http
