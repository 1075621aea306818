// Clock the simulated SoC and print what its UART sends, until the character that ends a run, or too many cycles.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "Vegret_soc.h"
#include "verilated.h"

namespace {
constexpr int kEndOfRun = 4;
}

int main(int argc, char** argv) {
  const std::uint64_t most = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 0;
  auto context = std::make_unique<VerilatedContext>();
  auto soc = std::make_unique<Vegret_soc>(context.get());
  soc->serial_source_ready = 1;
  soc->serial_sink_valid = 0;
  for (std::uint64_t cycle = 0; cycle < most; ++cycle) {
    soc->sys_clk = 0;
    soc->eval();
    if (soc->serial_source_valid) {
      if (soc->serial_source_data == kEndOfRun) {
        std::printf("%llu cycles\n", static_cast<unsigned long long>(cycle));
        soc->final();
        return 0;
      }
      std::putchar(soc->serial_source_data);
      if (soc->serial_source_data == '\n') std::fflush(stdout);
    }
    soc->sys_clk = 1;
    soc->eval();
  }
  std::printf("no end after %llu cycles\n", static_cast<unsigned long long>(most));
  return 1;
}
