#pragma once
// Names for clang's thread-safety analysis (-Wthread-safety); empty under other compilers.

#if defined(__clang__)
#define NETFS_ANNOTATION(x) __attribute__((x))
#else
#define NETFS_ANNOTATION(x)
#endif

#define CAPABILITY(name) NETFS_ANNOTATION(capability(name))
#define SCOPED_CAPABILITY NETFS_ANNOTATION(scoped_lockable)
#define GUARDED_BY(mutex) NETFS_ANNOTATION(guarded_by(mutex))
#define PT_GUARDED_BY(mutex) NETFS_ANNOTATION(pt_guarded_by(mutex))
#define REQUIRES(...) NETFS_ANNOTATION(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) NETFS_ANNOTATION(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) NETFS_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) NETFS_ANNOTATION(acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) NETFS_ANNOTATION(acquire_shared_capability(__VA_ARGS__))
#define RELEASE(...) NETFS_ANNOTATION(release_capability(__VA_ARGS__))
#define RELEASE_SHARED(...) NETFS_ANNOTATION(release_shared_capability(__VA_ARGS__))
#define RELEASE_GENERIC(...) NETFS_ANNOTATION(release_generic_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) NETFS_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define RETURN_CAPABILITY(x) NETFS_ANNOTATION(lock_returned(x))
#define NO_THREAD_SAFETY_ANALYSIS NETFS_ANNOTATION(no_thread_safety_analysis)
