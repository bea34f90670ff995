// Replays a corpus, and seeded mutations of it, through a fuzzer's entry, for builds without
// libFuzzer: each file of the folders named, then 2,000 mutants.  Prints the seed.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  std::vector<std::vector<uint8_t>> inputs{{}};
  for (int i = 1; i < argc; ++i) {
    for (const auto& file : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream in(file.path(), std::ios::binary);
      inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
  }
  for (const auto& input : inputs) LLVMFuzzerTestOneInput(input.data(), input.size());
  const uint32_t seed = 20261123;
  std::mt19937 random(seed);
  for (int i = 0; i < 2000; ++i) {
    std::vector<uint8_t> mutant = inputs[random() % inputs.size()];
    for (unsigned flips = random() % 8; flips > 0; --flips) {
      if (mutant.empty() || random() % 4 == 0) {
        mutant.push_back(static_cast<uint8_t>(random()));
      } else if (random() % 4 == 0) {
        mutant.resize(random() % mutant.size());
      } else {
        mutant[random() % mutant.size()] = static_cast<uint8_t>(random());
      }
    }
    LLVMFuzzerTestOneInput(mutant.data(), mutant.size());
  }
  std::printf("%zu inputs and 2000 mutants replayed, seed %u\n", inputs.size(), seed);
  return 0;
}
