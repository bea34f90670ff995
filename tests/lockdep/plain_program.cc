// A program without a C++ library, which loads a plugin that brings one: PLUGIN.

#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char** argv) {
  void* plugin = argc < 2 ? nullptr : ::dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) return 90;
  const auto run = reinterpret_cast<int (*)()>(::dlsym(plugin, "plugin_run"));
  if (run == nullptr) return 91;
  ::printf("%d\n", run());
  return 0;
}
