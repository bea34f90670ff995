#include "daemon/control_message.h"

#include <gtest/gtest.h>

namespace netfs::daemon {

TEST(ControlMessage, RequestComesBackAsSent) {
  const Request sent{.verb = Verb::kMount,
                     .url = "sftp://h/d",
                     .target = "/mnt",
                     .options = {{"timeout", "5s"}, {"origin.identity", "/k"}},
                     .name_space = "mnt:[1]",
                     .attached = true,
                     .lazy = true,
                     .all = true};
  const Request got = decode_request(encode(sent)).value();
  EXPECT_EQ(got.verb, sent.verb);
  EXPECT_EQ(got.url, sent.url);
  EXPECT_EQ(got.target, sent.target);
  EXPECT_EQ(got.options, sent.options);
  EXPECT_EQ(got.name_space, sent.name_space);
  EXPECT_TRUE(got.attached && got.lazy && got.all);
}

TEST(ControlMessage, NamesAreBytesOnTheWayToo) {
  std::string every;
  for (int byte = 1; byte < 256; ++byte) every += static_cast<char>(byte);
  const Request sent{.verb = Verb::kMount,
                     .url = "file:///" + every,
                     .target = "/" + every,
                     .options = {{"cache-dir", every}}};
  const Request got = decode_request(encode(sent)).value();
  EXPECT_EQ(got.url, sent.url);
  EXPECT_EQ(got.target, sent.target);
  EXPECT_EQ(got.options, sent.options);
  const Response response = decode_response(encode(Response{.line = every, .body = every})).value();
  EXPECT_EQ(response.line, every);
  EXPECT_EQ(response.body, every);
  std::string text = encode(Request{.verb = Verb::kStatus, .url = "URL"});
  text.replace(text.find("URL"), 3, "\u20ac");
  EXPECT_TRUE(decode_request(text).is_error(EPROTO)) << "a character that is no byte";
}

TEST(ControlMessage, ResponseAndHelloComeBackAsSent) {
  const Response response =
      decode_response(
          encode(Response{
              .code = EBUSY, .exit = ExitCode::kFailure, .line = "busy", .body = "{\"a\":1}"}))
          .value();
  EXPECT_EQ(response.code, EBUSY);
  EXPECT_EQ(response.exit, ExitCode::kFailure);
  EXPECT_EQ(response.line, "busy");
  EXPECT_EQ(response.body, "{\"a\":1}");
  const Hello hello = decode_hello(encode(Hello{"1.2", 1, 77, "/c"})).value();
  EXPECT_EQ(hello.version, "1.2");
  EXPECT_EQ(hello.pid, 77);
  EXPECT_EQ(hello.cache_dir, "/c");
}

TEST(ControlMessage, EachFieldIsChecked) {
  const std::string good = encode(Request{.verb = Verb::kStatus});
  ASSERT_TRUE(decode_request(good).ok());
  const std::pair<const char*, const char*> kSpoiled[] = {{"\"status\"", "\"format-disk\""},
                                                          {"\"lazy\":false", "\"lazy\":0"},
                                                          {"\"url\":\"\"", "\"url\":7"},
                                                          {"\"all\"", "\"al\""},
                                                          {"{}", "[]"},
                                                          {"{}", "{\"a\":1}"}};
  for (const auto& [from, to] : kSpoiled) {
    std::string text = good;
    text.replace(text.find(from), std::string(from).size(), to);
    EXPECT_TRUE(decode_request(text).is_error(EPROTO)) << text;
  }
  EXPECT_TRUE(decode_request("").is_error(EPROTO));
  EXPECT_TRUE(decode_request("[]").is_error(EPROTO));
  EXPECT_TRUE(decode_request(good.substr(1)).is_error(EPROTO));
}

TEST(ControlMessage, LongPathsAreRefused) {
  EXPECT_TRUE(decode_request(encode(Request{.target = std::string(kPathBytesMax + 1, 'x')}))
                  .is_error(EPROTO));
}

TEST(ControlMessage, BytesThatAreNoTextDoNotBreakIt) {
  EXPECT_TRUE(decode_response(encode(Response{.line = "name \xff\xfe"})).ok());
}

TEST(ControlMessage, FailuresEndAsMountSays) {
  EXPECT_EQ(failure(Error(EINVAL, "options", "x")).exit, ExitCode::kUsage);
  EXPECT_EQ(failure(Error(EPERM, "mount", "x")).exit, ExitCode::kUsage);
  EXPECT_EQ(failure(Error(ENOMEM, "mount", "x")).exit, ExitCode::kSystem);
  EXPECT_EQ(failure(Error(EINVAL, "mount", "x")).exit, ExitCode::kFailure);
  EXPECT_EQ(failure(Error(EBUSY, "mount", "x")).exit, ExitCode::kFailure);
}

}  // namespace netfs::daemon
