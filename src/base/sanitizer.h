#pragma once
// Which sanitizer this program is built with, for tests whose work or waits want another size then,
// or whose subject a sanitizer replaces.  Macros of 0 or 1, the same for g++ and clang.  What a
// test asserts does not depend on them.
//
//   constexpr uint64_t kEvery = NETFS_THREAD_SANITIZER ? 10 : 1;

#if defined(__SANITIZE_ADDRESS__)
#define NETFS_ADDRESS_SANITIZER 1
#endif
#if defined(__SANITIZE_THREAD__)
#define NETFS_THREAD_SANITIZER 1
#endif
#if defined(__has_feature)  // clang
#if __has_feature(address_sanitizer)
#define NETFS_ADDRESS_SANITIZER 1
#endif
#if __has_feature(thread_sanitizer)
#define NETFS_THREAD_SANITIZER 1
#endif
#endif

#ifndef NETFS_ADDRESS_SANITIZER
#define NETFS_ADDRESS_SANITIZER 0
#endif
#ifndef NETFS_THREAD_SANITIZER
#define NETFS_THREAD_SANITIZER 0
#endif
