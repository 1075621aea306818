// Run one job on a Verilated core: load an image, offer the input, record what comes out.
//
//   harness JOB RESULT [TRACE.vcd]
//   harness JOB -
//
// In the second form it is a session: it answers on standard output, at once after loading, and then each time that
// standard input brings the beats of more steps, counted, until it ends; the core keeps its state.
//
// The job and the result are arrays of little-endian numbers; sim/simulator.py writes the one and reads the other.
// Payloads travel as the packed words of the ports: only Python knows their fields. The few bits needed here come
// from bits.h, which is generated with the model.

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "Vharness_top.h"
#include "bits.h"
#include "memory.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

constexpr uint64_t kProgressCycles = 1 << 18;  // between two lines on standard output
enum Pace : uint64_t { kStream, kStepwise, kIsolated };  // when a step's input is offered; modes of Simulator.run
constexpr int kSettleCycles = 64;  // from the end of loading to a core that runs or says why not

enum Status : uint64_t { kDone = 0, kNotLoaded = 1, kHang = 2, kCycleLimit = 3 };

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "harness: %s\n", what.c_str());
  std::exit(1);
}

class Reader {
 public:
  explicit Reader(const char* path) : file_(std::fopen(path, "rb")) {
    if (!file_) fail(std::string("cannot open ") + path);
  }
  ~Reader() { std::fclose(file_); }
  uint64_t number() { return array<uint64_t>(1)[0]; }
  template <typename T>
  std::vector<T> array(size_t count) {
    std::vector<T> values(count);
    if (count && std::fread(values.data(), sizeof(T), count, file_) != count) fail("the job file is cut short");
    return values;
  }

 private:
  FILE* file_;
};

// Words of a packed port, lowest first.
template <typename T>
uint64_t low(const T& port) {
  return port;
}
template <std::size_t N>
uint64_t low(const VlWide<N>& port) {
  return port[0] | static_cast<uint64_t>(port[1]) << 32;
}
template <typename T>
void append(std::vector<uint32_t>& words, const T& port) {
  const uint64_t value = port;
  words.push_back(static_cast<uint32_t>(value));
  words.push_back(static_cast<uint32_t>(value >> 32));
}
template <std::size_t N>
void append(std::vector<uint32_t>& words, const VlWide<N>& port) {
  for (std::size_t i = 0; i < N; ++i) words.push_back(port[i]);
}

// Rows of a result section: a cycle, then the words of a port.
class Rows {
 public:
  template <typename T>
  void add(uint64_t cycle, const T& port) {
    append(words_, cycle);
    append(words_, port);
    ++count_;
  }
  void write(FILE* file) const {
    const uint64_t header[2] = {count_, words_.size()};
    std::fwrite(header, sizeof(header[0]), 2, file);
    std::fwrite(words_.data(), sizeof(words_[0]), words_.size(), file);
  }
  uint64_t count() const { return count_; }

 private:
  std::vector<uint32_t> words_;
  uint64_t count_ = 0;
};

// When a step's input and output passed.
struct StepTimes {
  uint64_t first_input, last_input, output, best_valid, best_index;
};

struct Job {
  uint64_t pace, keep_updates, max_cycles, patience, steps, counters;
  std::vector<uint32_t> image, states;  // words of the load port; the latter once the network is there
  std::vector<uint64_t> beats;
  std::vector<uint8_t> input_stall, output_stall;  // repeated for ever
  std::vector<uint64_t> memory;                    // its parameters; none where lists are on chip
  std::vector<uint8_t> lists;                      // its content

  explicit Job(const char* path) {
    Reader reader(path);
    pace = reader.number();
    keep_updates = reader.number();
    max_cycles = reader.number();
    patience = reader.number();
    steps = reader.number();
    counters = reader.number();
    const uint64_t words = reader.number(), state_words = reader.number(), beat_count = reader.number();
    const uint64_t input_period = reader.number(), output_period = reader.number();
    const uint64_t memory_numbers = reader.number(), list_bytes = reader.number();
    beats = reader.array<uint64_t>(beat_count);
    image = reader.array<uint32_t>(words);
    states = reader.array<uint32_t>(state_words);
    input_stall = reader.array<uint8_t>(input_period);
    output_stall = reader.array<uint8_t>(output_period);
    memory = reader.array<uint64_t>(memory_numbers);
    lists = reader.array<uint8_t>(list_bytes);
  }

  egret::MemoryParameters memory_parameters() const {
    egret::MemoryParameters parameters{};
    if (memory.empty()) parameters.data_bits = 128, parameters.queue = 1;  // nobody asks it for anything
    else if (const char* wrong = parameters.read(memory.data(), memory.size())) fail(wrong);
    return parameters;
  }
};

class Bench {
 public:
  Bench(Job job, VerilatedContext& context, const char* trace_path)
      : job_(std::move(job)), core_(&context), trace_path_(trace_path),
        memory_(job_.memory_parameters(), job_.lists.data(), job_.lists.size()) {
#if EGRET_STREAMED
    core_.list_base = 0;
    core_.list_size = job_.lists.size() / egret::kPieceBytes;
#endif
#if VM_TRACE
    context.traceEverOn(true);
    core_.trace(&trace_, 99);
#else
    if (trace_path) fail("this model was built without a waveform");
#endif
    times_.resize(job_.steps);
  }

  uint64_t run() {
    if (!load()) return kNotLoaded;
    core_.clear_counters = 1;
    tick();
    core_.clear_counters = 0;
    start_ = cycle_;
    memory_before_ = memory_.counts();
#if VM_TRACE
    if (trace_path_) trace_.open(trace_path_);  // a waveform of the loading would be long, and tell little
#endif
    return go();
  }

  // Answer on standard output until standard input ends.
  void converse() {
    quiet_ = true;
    uint64_t status = run(), count = 0;
    write(stdout, status);
    while (status == kDone && std::fread(&count, sizeof(count), 1, stdin) == 1) {
      job_.beats.resize(count);
      if (std::fread(job_.beats.data(), sizeof(uint64_t), count, stdin) != count) fail("the input is cut short");
      job_.steps = 0;
      for (const uint64_t beat : job_.beats) job_.steps += beat >> kInputLastBit & 1;
      next_beat_ = inputs_done_ = outputs_done_ = 0;
      times_.assign(job_.steps, {});
      counters_.clear();
      outputs_ = records_ = updates_ = {};
      start_ = cycle_;
      memory_before_ = memory_.counts();
      status = go();
      write(stdout, status);
    }
  }

  void write(const char* path, uint64_t status) {
    FILE* file = std::fopen(path, "wb");
    if (!file) fail(std::string("cannot write ") + path);
    write(file, status);
    if (std::fclose(file)) fail(std::string("cannot write ") + path);
#if VM_TRACE
    trace_.close();
#endif
  }

 private:
  uint64_t go() {
    const std::clock_t begin = std::clock();
    const uint64_t status = stream();
    if (status == kDone) read_counters();
    microseconds_ = (std::clock() - begin) * (1000000 / CLOCKS_PER_SEC);
    return status;
  }

  void write(FILE* file, uint64_t status) {
    const uint64_t header[] = {status,     cycle_ - start_, microseconds_, core_.error,      core_.detail,
                               next_beat_, outputs_done_,   times_.size(), counters_.size()};
    std::fwrite(header, sizeof(header), 1, file);
    std::fwrite(times_.data(), sizeof(StepTimes), times_.size(), file);
    std::fwrite(counters_.data(), sizeof(uint64_t), counters_.size(), file);
    for (const Rows* rows : {&outputs_, &records_, &updates_}) rows->write(file);
    egret::MemoryCounts counts = memory_.counts();
    counts -= memory_before_;
    std::fwrite(&counts, sizeof(counts), 1, file);
    std::fflush(file);
  }

  // Let the inputs of this cycle settle; outputs can be read after it.
  void settle() {
#if EGRET_STREAMED
    core_.ar_ready = memory_.ar_ready();
    core_.r_valid = memory_.r_valid();
    if (memory_.r_valid()) {
      const egret::Memory::Transfer& transfer = memory_.r();
      constexpr int kWords = kPortBits / 32;
      for (int i = 0; i < kWords; ++i) core_.r_payload[i] = transfer.words[i];
      core_.r_payload[kWords] = transfer.response | transfer.last << 2;
    }
#endif
    core_.clk = 0;
    core_.eval();
#if VM_TRACE
    if (trace_.isOpen()) trace_.dump(2 * cycle_);
#endif
  }
  void clock() {
#if EGRET_STREAMED
    if (core_.ar_valid && memory_.ar_ready())
      memory_.ar(static_cast<uint32_t>(core_.ar_payload), static_cast<uint8_t>(core_.ar_payload >> 32));
    if (core_.r_ready && memory_.r_valid()) memory_.r_taken();
    memory_.tick();
#endif
    core_.clk = 1;
    core_.eval();
#if VM_TRACE
    if (trace_.isOpen()) trace_.dump(2 * cycle_ + 1);
#endif
    ++cycle_;
  }
  void tick() {
    settle();
    clock();
  }

  bool load() {
    send(job_.image);
    if (core_.loaded && !job_.states.empty()) send(job_.states);  // without any, no time passes
    return core_.loaded;
  }

  // Send words to the load port, and let what they cause happen.
  void send(const std::vector<uint32_t>& words) {
    for (const uint32_t word : words) {
      core_.load_payload = word;
      core_.load_valid = 1;
      tick();
      core_.load_valid = 0;
      for (int i = 1; i < kLoadCycles; ++i) tick();
    }
    for (int i = 0; i < kSettleCycles; ++i) tick();
  }

  uint64_t stream() {
    uint64_t last_progress = cycle_, first_of_step = 0;
    bool offered = false;
    while (true) {
      const uint64_t now = cycle_ - start_;
      const bool more = next_beat_ < job_.beats.size();
      if (more && !offered) {
        const bool answered = job_.pace == kStream || outputs_done_ >= inputs_done_;
        const bool quiet = job_.pace != kIsolated || next_beat_ != first_of_step || core_.idle;
        offered = answered && quiet && !job_.input_stall[now % job_.input_stall.size()];
      }
      core_.i_valid = offered;
      if (offered) core_.i_payload = job_.beats[next_beat_];
      core_.o_ready = !job_.output_stall[now % job_.output_stall.size()];
      settle();

      bool progress = false;
      if (offered && core_.i_ready) {
        progress = true;
        offered = false;
        if (next_beat_ == first_of_step) times_[inputs_done_].first_input = now;
        if (job_.beats[next_beat_] >> kInputLastBit & 1) {
          times_[inputs_done_++].last_input = now;
          first_of_step = next_beat_ + 1;
        }
        ++next_beat_;
      }
      if (core_.o_valid && core_.o_ready) {
        progress = true;
        outputs_.add(now, core_.o_payload);
        if (low(core_.o_payload) >> kOutputLastBit & 1) {
          if (outputs_done_ < times_.size()) {
            StepTimes& times = times_[outputs_done_];
            times.output = now;
            times.best_valid = core_.best_valid;
            times.best_index = core_.best_index;
          }
          ++outputs_done_;
        }
      }
      if (low(core_.step) >> kStepValidBit & 1) {
        progress = true;
        records_.add(now, core_.step);
      }
      progress |= take_updates(now);
      const bool counted = !kCounters || records_.count() >= job_.steps;
      const bool done = !more && outputs_done_ >= job_.steps && counted && core_.idle;
      clock();

      if (done) return kDone;
      if (progress) last_progress = cycle_;
      if (cycle_ - last_progress > job_.patience) return kHang;
      if (now >= job_.max_cycles) return kCycleLimit;
      if (!quiet_ && (now + 1) % kProgressCycles == 0) {
        std::printf("progress %" PRIu64 " %" PRIu64 "\n", outputs_done_, now);
        std::fflush(stdout);
      }
    }
  }

  bool take_updates(uint64_t now) {
    bool any = false;
    const auto take = [&](const auto& update) {
      if (!(low(update) >> kUpdateValidBit & 1)) return;
      any = true;
      if (job_.keep_updates) updates_.add(now, update);
    };
    FOR_EACH_UPDATE(core_, take)
    return any;
  }

  void read_counters() {
    for (uint64_t index = 0; index < job_.counters; ++index) {
      core_.counter_select = index;
      for (int i = 0; i < kCounterLatency; ++i) tick();
      counters_.push_back(core_.counter);
    }
  }

  Job job_;
  Vharness_top core_;
  const char* trace_path_;
#if VM_TRACE
  VerilatedVcdC trace_;
#endif
  bool quiet_ = false;  // of progress
  uint64_t cycle_ = 0, start_ = 0;
  uint64_t microseconds_ = 0;  // of processor time, for the cycles since start_
  uint64_t next_beat_ = 0, inputs_done_ = 0, outputs_done_ = 0;
  std::vector<StepTimes> times_;
  std::vector<uint64_t> counters_;
  Rows outputs_, records_, updates_;
  egret::Memory memory_;
  egret::MemoryCounts memory_before_{};  // what was counted before start_
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) fail("usage: harness JOB RESULT [TRACE.vcd]");
  VerilatedContext context;
  Bench bench(Job(argv[1]), context, argc > 3 ? argv[3] : nullptr);
  if (argv[2] == std::string("-"))
    bench.converse();
  else
    bench.write(argv[2], bench.run());
  return 0;
}
