// The preloaded library comes to life.

// Lets a debugger, or `lockdep`, see which library a process has.
extern "C" __attribute__((visibility("default"))) const char lockdep_preload_version[] = "1";
