#pragma once
// Engine: what the spike asks of a key-value store; see README.md beside this file.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct Pair {
  std::string key;
  std::string value;
};

class Engine {
 public:
  virtual ~Engine() = default;
  // Empty: success; else the engine's own words.
  virtual std::string open(const std::string& directory) = 0;
  virtual std::string commit(const std::vector<Pair>& batch) = 0;  // durable on return
  // From one reader thread at a time, beside one writer.
  virtual std::string get(std::string_view key, std::string* value) = 0;
  virtual std::string scan(const std::function<void(std::string_view, std::string_view)>& sink) = 0;
  virtual std::string flush_all() = 0;  // everything out of logs and into the tables
};

std::unique_ptr<Engine> make_lmdb();
std::unique_ptr<Engine> make_sqlite();
std::unique_ptr<Engine> make_rocksdb();
