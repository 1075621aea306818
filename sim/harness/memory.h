// Memory behind an AXI4 read port, advanced once a cycle of the core.
//
//   egret::MemoryParameters parameters;
//   if (const char* wrong = parameters.read(numbers, count)) ...  // as sim/memories.py packs them
//   egret::Memory memory(parameters, content, bytes);
//   each cycle, when the core's outputs have settled:
//     if (core asks && memory.ar_ready()) memory.ar(address, length);
//     if (core takes && memory.r_valid()) memory.r_taken();
//     memory.tick();
//
// What the port shows (ar_ready, r_valid, r) changes only in tick(), as a register's output would. One burst after the
// other in the order asked for; a transfer stays until it is taken. sim/memory_model.py drives the same code.
//
// Two memories:
// - ideal: the first transfer may be taken `latency` cycles after its address was, then one a cycle.
// - DRAM: a controller with open rows before one chip, in order, a piece of 16 bytes (a burst of 8 on 16 pins) a read.
//   docs/memories.md says what is in it; sim/memories.py has the numbers, with their data sheets.

#ifndef EGRET_MEMORY_H
#define EGRET_MEMORY_H

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace egret {

constexpr unsigned kPieceBytes = 16;  // what a read of the chip brings
constexpr unsigned kLookaheadMax = 63;

enum Response : uint8_t { kOkay = 0, kSlaveError = 2, kDecodeError = 3 };

// What goes wrong, and where: at the transfer of this number since the start, or at each one from this address.
struct Fault {
  enum Kind : uint64_t {
    kResponse,  // `amount` is the response; the data is 0
    kStall,     // this transfer comes `amount` cycles later than it would
    kSilence,   // from here on no transfer comes, and no address is accepted
    kLate,      // from here on the latency is `amount` cycles more
    kLast,      // `last` is wrong: set where a burst goes on, or clear where it ends
    kKinds
  };
  uint64_t kind, by_address, where, amount;
};

// Numbers of a memory, in the order in which a job holds them: all of these, then the faults, four numbers each.
struct MemoryParameters {
  enum Kind : uint64_t { kIdeal, kDram };
  uint64_t kind, data_bits, base;  // bits of the port; byte address of the content
  uint64_t queue;                  // bursts that may be under way
  uint64_t latency;                // ideal: cycles
  // Of DRAM, from here on. Clocks of the memory in so many cycles of the core:
  uint64_t clocks, cycles;
  uint64_t front, back;  // cycles: from the address to the first command, and from the pins to the port
  uint64_t buffer;       // pieces read and not yet taken, at most
  uint64_t lookahead;    // pieces behind the next one whose rows may be opened
  uint64_t bank_bits, row_bytes;
  uint64_t burst;  // all others in clocks of the memory; this: the data bus for a piece
  uint64_t ccd, rcd, rp, cl, ras, rc, rrd, faw, rtp, refi, rfc;
  uint64_t fault_count;
  std::vector<Fault> faults;

  static constexpr std::size_t kNumbers = 26;

  // Return what is wrong with the numbers, or null.
  const char* read(const uint64_t* numbers, std::size_t count) {
    if (count < kNumbers) return "a memory's parameters are cut short";
    uint64_t* const fields[kNumbers] = {
        &kind, &data_bits, &base, &queue, &latency, &clocks, &cycles, &front, &back, &buffer, &lookahead, &bank_bits,
        &row_bytes, &burst, &ccd, &rcd, &rp, &cl, &ras, &rc, &rrd, &faw, &rtp, &refi, &rfc, &fault_count};
    for (std::size_t i = 0; i < kNumbers; ++i) *fields[i] = numbers[i];
    if (fault_count > count || count != kNumbers + 4 * fault_count) return "a memory's faults are cut short";
    faults.clear();
    for (const uint64_t* fault = numbers + kNumbers; fault != numbers + count; fault += 4) {
      if (fault[0] >= Fault::kKinds || fault[1] > 1) return "a memory's fault is of no known kind";
      faults.push_back({fault[0], fault[1], fault[2], fault[3]});
    }
    if (kind > kDram) return "a memory is of no known kind";
    if (data_bits != 64 && data_bits != 128 && data_bits != 256 && data_bits != 512)
      return "a memory's port is not 64, 128, 256 or 512 bits";
    if (data_bits > 128 && kind == kDram) return "a DRAM's port is at most 128 bits wide, as a read of the chip";
    if (!queue) return "a memory takes no burst";
    if (kind == kIdeal) return latency ? nullptr : "a memory answers in the cycle in which it is asked";
    if (!clocks || !cycles || !front || !buffer || !burst || !refi) return "a parameter of a DRAM is 0";
    if (clocks >> 16 || cycles >> 16) return "the ratio of the clocks takes more than 16 bits";
    if (lookahead > kLookaheadMax) return "a DRAM looks ahead further than 63 pieces";
    if (bank_bits > 4) return "a DRAM has more than 16 banks";
    if (row_bytes < kPieceBytes || row_bytes & (row_bytes - 1)) return "a DRAM's row is no power of two of 16 bytes";
    if (refi <= rp + rfc + ras + rtp) return "a DRAM does nothing but refresh";
    return nullptr;
  }
};

struct MemoryCounts {
  uint64_t bursts, transfers, bytes;  // asked for; taken; of content
  uint64_t busy, held;                // cycles: something is under way; a transfer was shown and not taken
  uint64_t hits, misses, conflicts;   // pieces: row open; none open in its bank; another one open
  uint64_t refreshes, data_clocks;    // data_clocks: of the memory, with data on its pins
  uint64_t outside;                   // transfers from where there is no content

  static constexpr std::size_t kNumbers = 11;
  MemoryCounts& operator-=(const MemoryCounts& before) {
    uint64_t* const mine = &bursts;
    for (std::size_t i = 0; i < kNumbers; ++i) mine[i] -= (&before.bursts)[i];
    return *this;
  }
};
static_assert(sizeof(MemoryCounts) == MemoryCounts::kNumbers * sizeof(uint64_t));

// A command to the chip, for those who want to see them all.
struct Command {
  enum Kind : int64_t { kActivate, kRead, kPrecharge, kPrechargeAll, kRefresh };
  int64_t clock, kind, bank, row;  // bank and row are -1 where there is none
};

// When a DRAM's commands go out, in clocks of the memory. Each piece is planned when those before it are.
class Dram {
 public:
  Dram(const MemoryParameters& p, MemoryCounts& counts)
      : p_(p), counts_(counts), row_shift_(static_cast<unsigned>(p.bank_bits) + log2(p.row_bytes)),
        bank_shift_(log2(p.row_bytes)), gap_(static_cast<int64_t>(std::max(p.ccd, p.burst))),
        refresh_due_(static_cast<int64_t>(p.refi)) {
    read_.fill(kNever);
    activated_.fill(kNever);
    commands_.fill(kNever);
  }

  void log(std::vector<Command>* commands) { log_ = commands; }

  // Return the clock after which all of the piece at an offset has come. The controller knows of it from `arrives` on,
  // and has room for it from `room` on.
  int64_t read(uint64_t offset, int64_t arrives, int64_t room) {
    const int64_t number = static_cast<int64_t>(offset >> bank_shift_ & ((1u << p_.bank_bits) - 1));
    Bank& bank = banks_[static_cast<std::size_t>(number)];
    const int64_t row = static_cast<int64_t>(offset >> row_shift_);
    // Pieces are looked at as soon as the one before all that may be looked ahead is being read.
    const int64_t seen = std::max(arrives, read_[(count_ - 1 - p_.lookahead) & kLookaheadMax] + 1);
    Plan plan = plan_for(bank, row, seen, room);
    while (plan.read >= refresh_due_) {  // first what is overdue; no row is opened for what cannot be read before it
      refresh();
      plan = plan_for(bank, row, seen, room);
    }
    if (plan.activate != kNever) {
      if (plan.precharge != kNever) send({plan.precharge, Command::kPrecharge, number, bank.row});
      ++(plan.precharge != kNever ? counts_.conflicts : counts_.misses);
      send({plan.activate, Command::kActivate, number, row});
      bank.row = row;
      bank.activated = plan.activate;
      activated_[activations_++ & 3] = plan.activate;
    } else {
      ++counts_.hits;
    }
    send({plan.read, Command::kRead, number, row});
    bank.read = read_[count_++ & kLookaheadMax] = plan.read;
    counts_.data_clocks += p_.burst;
    return plan.read + static_cast<int64_t>(p_.cl + p_.burst);
  }

 private:
  static constexpr int64_t kNever = -(int64_t{1} << 40);  // long ago
  static constexpr int64_t kClosed = -1;
  struct Bank {
    int64_t row = kClosed, activated = kNever, read = kNever, closed = kNever;  // `closed`: may be activated from then
  };
  struct Plan {
    int64_t precharge, activate, read;
  };

  static unsigned log2(uint64_t value) { return value <= 1 ? 0 : 1 + log2(value >> 1); }

  Plan plan_for(const Bank& bank, int64_t row, int64_t seen, int64_t room) const {
    Plan plan{kNever, kNever, std::max({seen, room, read_[(count_ - 1) & kLookaheadMax] + gap_})};
    if (bank.row != row) {
      int64_t from = std::max({seen, bank.closed, after(bank.activated, p_.rc)});
      if (bank.row != kClosed) {
        plan.precharge = free(std::max({seen, after(bank.activated, p_.ras), after(bank.read, p_.rtp)}));
        from = std::max(from, after(plan.precharge, p_.rp));
      }
      from = std::max({from, after(activated_[(activations_ - 1) & 3], p_.rrd),
                       after(activated_[activations_ & 3], p_.faw)});
      plan.activate = free(from);
      plan.read = std::max(plan.read, after(plan.activate, p_.rcd));
    }  // else its first read has waited for tRCD, and this one comes behind it
    return plan;
  }

  // Close all rows and refresh; nothing else meanwhile.
  void refresh() {
    int64_t close = refresh_due_, start = refresh_due_;
    bool open = false;
    for (const Bank& bank : banks_) {
      start = std::max(start, bank.closed);
      if (bank.row == kClosed) continue;
      open = true;
      close = std::max({close, after(bank.activated, p_.ras), after(bank.read, p_.rtp)});
    }
    if (open) {
      close = free(close);
      send({close, Command::kPrechargeAll, -1, -1});
      start = std::max(start, after(close, p_.rp));
    }
    send({start, Command::kRefresh, -1, -1});
    for (Bank& bank : banks_) {
      bank.row = kClosed;
      bank.closed = after(start, p_.rfc);
    }
    refresh_due_ += static_cast<int64_t>(p_.refi);
    ++counts_.refreshes;
  }

  static int64_t after(int64_t clock, uint64_t clocks) { return clock + static_cast<int64_t>(clocks); }

  // One command a clock. Reads never wait for others: those planned before are for earlier reads, and before these.
  int64_t free(int64_t clock) const {
    while (commands_[clock & (kCommands - 1)] == clock) ++clock;
    return clock;
  }
  void send(const Command& command) {
    commands_[command.clock & (kCommands - 1)] = command.clock;
    if (log_) log_->push_back(command);
  }

  static constexpr int kCommands = 2048;  // clocks; more than all that is looked ahead takes
  const MemoryParameters& p_;
  MemoryCounts& counts_;
  const unsigned row_shift_, bank_shift_;
  const int64_t gap_;
  int64_t refresh_due_;
  uint64_t count_ = 0, activations_ = 0;
  std::array<Bank, 16> banks_{};
  std::array<int64_t, kLookaheadMax + 1> read_;  // of the last pieces
  std::array<int64_t, 4> activated_;             // the last four
  std::array<int64_t, kCommands> commands_;      // the clocks that are taken
  std::vector<Command>* log_ = nullptr;
};

class Memory {
 public:
  struct Transfer {
    std::array<uint32_t, 16> words;  // lowest first; as many of them as the port has bits for
    uint8_t response;
    bool last;
  };

  // `content` stays the caller's, and may be null: then all of it is 0.
  Memory(const MemoryParameters& parameters, const uint8_t* content, uint64_t size)
      : p_(parameters), content_(content), size_(size), transfer_bytes_(static_cast<unsigned>(p_.data_bits / 8)),
        bursts_(p_.queue), due_(p_.kind == MemoryParameters::kDram ? p_.buffer : 1), dram_(p_, counts_) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  bool ar_ready() const { return room_ && !silent_; }

  // Take an address as AXI4 has it: bursts of type INCR, `length` + 1 transfers as wide as the port.
  void ar(uint32_t address, uint8_t length) {
    const uint64_t bytes = transfer_bytes_ * (uint64_t{length} + 1), first = address & ~(transfer_bytes_ - 1);
    Burst& burst = bursts_[asked_++ % p_.queue];
    burst = {first, first + bytes, first & ~uint64_t{kPieceBytes - 1}, now_};
    ++counts_.bursts;
  }

  bool r_valid() const { return valid_; }
  const Transfer& r() const { return transfer_; }

  void r_taken() {
    valid_ = checked_ = false;
    Burst& burst = bursts_[answered_ % p_.queue];
    burst.next += transfer_bytes_;
    const bool ends = burst.next == burst.end;
    ++counts_.transfers;
    if (transfer_.response == kOkay) counts_.bytes += transfer_bytes_;
    if (ends || burst.next % kPieceBytes == 0) ++taken_;
    answered_ += ends;
  }

  void tick() {
    counts_.busy += asked_ != answered_;
    counts_.held += valid_;
    ++now_;
    if (p_.kind == MemoryParameters::kDram) plan();
    if (!valid_) offer();
    room_ = asked_ - answered_ < p_.queue;
  }

  uint64_t now() const { return now_; }
  uint64_t under_way() const { return asked_ - answered_; }
  const MemoryCounts& counts() const { return counts_; }
  void log(std::vector<Command>* commands) { dram_.log(commands); }

 private:
  struct Burst {
    uint64_t next, end;  // addresses of the next transfer, and behind the last
    uint64_t piece;      // of the next piece to plan
    uint64_t arrived;    // cycle
  };

  // Plan the pieces that have arrived, while there is room for them.
  void plan() {
    while (planned_ != asked_ && read_ - taken_ < p_.buffer) {
      Burst& burst = bursts_[planned_ % p_.queue];
      const uint64_t offset = (burst.piece - p_.base) & 0xFFFFFFFF;
      const int64_t clock = dram_.read(offset, clock_of(burst.arrived + p_.front), clock_of(now_));
      due_[read_++ % p_.buffer] = cycle_of(clock) + p_.back;
      burst.piece += kPieceBytes;
      planned_ += burst.piece >= burst.end;
    }
  }

  // The first edge of the one clock that is not before an edge of the other.
  int64_t clock_of(uint64_t cycle) const {
    return static_cast<int64_t>((cycle * p_.clocks + p_.cycles - 1) / p_.cycles);
  }
  uint64_t cycle_of(int64_t clock) const {
    return (static_cast<uint64_t>(clock) * p_.cycles + p_.clocks - 1) / p_.clocks;
  }

  // Show the next transfer if it has come.
  void offer() {
    if (silent_ || asked_ == answered_) return;
    const Burst& burst = bursts_[answered_ % p_.queue];
    if (p_.kind == MemoryParameters::kIdeal ? now_ < burst.arrived + p_.latency + late_
                                            : read_ == taken_ || now_ < due_[taken_ % p_.buffer] + late_)
      return;
    if (!checked_) fetch(burst);
    if (now_ < stalled_until_ || silent_) return;
    valid_ = true;
  }

  void fetch(const Burst& burst) {
    checked_ = true;
    const uint64_t offset = burst.next - p_.base;  // of an address below the base it is larger than any size
    const bool inside = offset < size_ && size_ - offset >= transfer_bytes_;
    transfer_ = {{}, inside ? kOkay : kDecodeError, burst.next + transfer_bytes_ == burst.end};
    counts_.outside += !inside;
    stalled_until_ = now_;
    for (const Fault& fault : p_.faults) {
      if (fault.where != (fault.by_address ? burst.next : counts_.transfers)) continue;
      switch (fault.kind) {
        case Fault::kResponse:
          transfer_.response = static_cast<uint8_t>(fault.amount);
          break;
        case Fault::kLate:
          late_ += fault.amount;
          [[fallthrough]];
        case Fault::kStall:
          stalled_until_ += fault.amount;
          break;
        case Fault::kSilence:
          silent_ = true;
          break;
        case Fault::kLast:
          transfer_.last = !transfer_.last;
          break;
        default:
          break;
      }
    }
    if (transfer_.response == kOkay && content_)
      std::memcpy(transfer_.words.data(), content_ + offset, transfer_bytes_);
  }

  const MemoryParameters p_;
  const uint8_t* content_;
  const uint64_t size_;
  const unsigned transfer_bytes_;
  MemoryCounts counts_{};
  uint64_t now_ = 0;
  std::vector<Burst> bursts_;                        // a ring
  uint64_t asked_ = 0, planned_ = 0, answered_ = 0;  // bursts
  std::vector<uint64_t> due_;                        // a ring: the cycles in which pieces come to the port
  uint64_t read_ = 0, taken_ = 0;                    // pieces
  bool room_ = true, silent_ = false, valid_ = false, checked_ = false;  // `checked_`: transfer_ is the next one
  uint64_t late_ = 0, stalled_until_ = 0;
  Transfer transfer_{};
  Dram dram_;
};

}  // namespace egret

#ifdef EGRET_MEMORY_LIBRARY  // what sim/memory_model.py calls

namespace egret {
struct LoggedMemory : Memory {
  using Memory::Memory;
  std::vector<Command> commands;
};
}  // namespace egret

extern "C" {

const char* egret_memory_check(const uint64_t* numbers, uint64_t count) {
  egret::MemoryParameters parameters;
  return parameters.read(numbers, count);
}

egret::LoggedMemory* egret_memory_new(const uint64_t* numbers, uint64_t count, const uint8_t* content, uint64_t size) {
  egret::MemoryParameters parameters;
  return parameters.read(numbers, count) ? nullptr : new egret::LoggedMemory(parameters, content, size);
}

void egret_memory_log(egret::LoggedMemory* memory) { memory->log(&memory->commands); }
uint64_t egret_memory_commands(const egret::LoggedMemory* memory, const int64_t** numbers) {
  *numbers = memory->commands.empty() ? nullptr : &memory->commands.front().clock;
  return memory->commands.size();
}
void egret_memory_delete(egret::LoggedMemory* memory) { delete memory; }
int egret_memory_ar_ready(const egret::LoggedMemory* memory) { return memory->ar_ready(); }
void egret_memory_ar(egret::LoggedMemory* memory, uint32_t address, uint8_t length) { memory->ar(address, length); }
int egret_memory_r_valid(const egret::LoggedMemory* memory) { return memory->r_valid(); }
void egret_memory_r_taken(egret::LoggedMemory* memory) { memory->r_taken(); }
uint64_t egret_memory_now(const egret::LoggedMemory* memory) { return memory->now(); }

// 18 words: the data, the response, whether it is the last one.
void egret_memory_r(const egret::LoggedMemory* memory, uint32_t* words) {
  const egret::Memory::Transfer& transfer = memory->r();
  std::copy(transfer.words.begin(), transfer.words.end(), words);
  words[16] = transfer.response;
  words[17] = transfer.last;
}

void egret_memory_counts(const egret::LoggedMemory* memory, uint64_t* numbers) {
  std::memcpy(numbers, &memory->counts(), sizeof(egret::MemoryCounts));
}

void egret_memory_tick(egret::LoggedMemory* memory, uint64_t cycles) {
  while (cycles--) memory->tick();
}

// Play a master that asks as early as it may and takes what comes. Write the cycle of each transfer, and return how
// many came before nothing did for `patience` cycles. A burst is asked for at least `gaps` cycles after the one before,
// and `turnaround` cycles after the end of the one whose place it takes.
uint64_t egret_memory_serve(egret::LoggedMemory* memory, uint64_t bursts, const uint32_t* addresses,
                            const uint8_t* lengths, const uint32_t* gaps, uint64_t outstanding, uint64_t turnaround,
                            uint64_t patience, uint64_t total, int64_t* cycles) {
  uint64_t asked = 0, came = 0, quiet = 0, from = memory->now(), ended = 0;
  std::vector<uint64_t> free(outstanding, from);  // a ring: from when on each place is free
  while (came < total && quiet <= patience) {
    const uint64_t now = memory->now();
    if (asked < bursts && now >= from && asked - ended < outstanding && now >= free[asked % outstanding] &&
        memory->ar_ready()) {
      memory->ar(addresses[asked], lengths[asked]);
      if (++asked < bursts) from = now + gaps[asked];
    }
    ++quiet;
    if (memory->r_valid()) {
      cycles[came++] = static_cast<int64_t>(now);
      const uint64_t before = memory->under_way();
      memory->r_taken();
      if (memory->under_way() != before) free[ended++ % outstanding] = now + turnaround;
      quiet = 0;
    }
    memory->tick();
  }
  return came;
}

}  // extern "C"

#endif  // EGRET_MEMORY_LIBRARY
#endif  // EGRET_MEMORY_H
