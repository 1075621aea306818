// A simulated egret.v behind the C driver's hardware layer: each access takes the cycles that it needs, no other passes.
//
// The layer holds one beat for the core at most, as a bus has it: what is offered stays offered until it is taken.
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "Vegret.h"
#include "egret.h"
#include "top_bits.h"
#include "verilated.h"

namespace {

constexpr int kAccessCycles = 1000;  // after which an access counts as failed
constexpr int kPollCycles = 32;      // that a beat is waited for
constexpr int kOkay = 0;

class Top {
 public:
  Top() : top_(&context_) {
    top_.aresetn = 0;
    for (int cycle = 0; cycle < 4; ++cycle) tick();
    top_.aresetn = 1;
    tick();
  }

  egret_result read(uint32_t address, uint32_t* word) {
    top_.s_axi_araddr = address;
    top_.s_axi_arvalid = 1;
    if (!wait(top_.s_axi_arready, top_.s_axi_arvalid)) return EGRET_BUS;
    top_.s_axi_rready = 1;
    settle();
    for (int cycle = 0; !top_.s_axi_rvalid; ++cycle) {
      if (cycle == kAccessCycles) return EGRET_BUS;
      tick();
    }
    *word = top_.s_axi_rdata;
    const bool okay = top_.s_axi_rresp == kOkay;
    tick();
    top_.s_axi_rready = 0;
    return okay ? EGRET_OK : EGRET_BUS;
  }

  egret_result write(uint32_t address, uint32_t word) {
    top_.s_axi_awaddr = address;
    top_.s_axi_wdata = word;
    top_.s_axi_wstrb = 15;
    top_.s_axi_awvalid = top_.s_axi_wvalid = 1;
    for (int cycle = 0; top_.s_axi_awvalid || top_.s_axi_wvalid; ++cycle) {
      if (cycle == kAccessCycles) return EGRET_BUS;
      settle();
      const bool address_taken = top_.s_axi_awready, data_taken = top_.s_axi_wready;
      tick();
      if (address_taken) top_.s_axi_awvalid = 0;
      if (data_taken) top_.s_axi_wvalid = 0;
    }
    top_.s_axi_bready = 1;
    settle();
    for (int cycle = 0; !top_.s_axi_bvalid; ++cycle) {
      if (cycle == kAccessCycles) return EGRET_BUS;
      tick();
    }
    const bool okay = top_.s_axi_bresp == kOkay;
    tick();
    top_.s_axi_bready = 0;
    return okay ? EGRET_OK : EGRET_BUS;
  }

  egret_result send(const egret_beat& beat) {
    for (int cycle = 0; top_.s_axis_tvalid && cycle < kPollCycles; ++cycle) tick();
    if (top_.s_axis_tvalid) return EGRET_WAIT;
    top_.s_axis_tdata = static_cast<uint64_t>(static_cast<uint32_t>(beat.value)) << 32 | beat.index;
    top_.s_axis_tlast = beat.last;
    top_.s_axis_tuser = beat.user;
    top_.s_axis_tvalid = 1;
    return EGRET_OK;
  }

  egret_result send(const egret_event* events, std::size_t count, egret_mark mark, std::size_t* sent) {
    const egret_event none = {EGRET_NULL_INDEX, 0};
    const std::size_t beats = count ? count : 1;
    for (std::size_t k = 0; k < beats; ++k) {
      const egret_event& event = count ? events[k] : none;
      const bool last = k + 1 == beats;
      const egret_beat beat = {event.index, event.value, last && mark != EGRET_GOES_ON,
                               last && mark == EGRET_ENDS_SEQUENCE};
      if (send(beat) != EGRET_OK) return EGRET_WAIT;
      if (count) ++*sent;
    }
    return EGRET_OK;
  }

  egret_result take(egret_beat* beat) {
    settle();
    for (int cycle = 0; !top_.m_axis_tvalid && cycle < kPollCycles; ++cycle) tick();
    if (!top_.m_axis_tvalid) return EGRET_WAIT;
    beat->index = static_cast<uint32_t>(top_.m_axis_tdata);
    beat->value = static_cast<int32_t>(top_.m_axis_tdata >> 32);
    beat->last = top_.m_axis_tlast;
    beat->user = top_.m_axis_tuser;
    top_.m_axis_tready = 1;
    tick();
    top_.m_axis_tready = 0;
    return EGRET_OK;
  }

  bool interrupt() {
    settle();
    return top_.irq;
  }
  uint64_t cycles() const { return cycles_; }

  void fill(uint32_t base, const uint8_t* bytes, std::size_t count) {
    base_ = base;
    content_.assign(bytes, bytes + count);
  }

 private:
  void settle() {
    drive_memory();
    top_.aclk = 0;
    top_.eval();
  }

  // One cycle. What is offered to the event stream and taken in it is offered no longer.
  void tick() {
    settle();
    const bool taken = top_.s_axis_tvalid && top_.s_axis_tready;
    take_from_memory();
    top_.aclk = 1;
    top_.eval();
    if (taken) top_.s_axis_tvalid = 0;
    ++cycles_;
  }

  // Wait until `ready`, and lower `valid` behind the cycle in which it is.
  template <class Ready, class Valid>
  bool wait(const Ready& ready, Valid& valid) {
    bool taken = false;
    for (int cycle = 0; !taken && cycle < kAccessCycles; ++cycle) {
      settle();
      taken = ready;
      tick();
    }
    valid = 0;
    return taken;
  }

#if EGRET_STREAMED
  // External memory that answers burst after burst, a transfer a cycle; what lies outside its content is an error.
  struct Burst {
    uint64_t address;
    unsigned left;
  };

  void drive_memory() {
    top_.m_axi_arready = bursts_.size() < 4;
    top_.m_axi_rvalid = !bursts_.empty();
    if (bursts_.empty()) return;
    constexpr std::size_t kBytes = kPortBits / 8;
    uint32_t words[kBytes / 4] = {};
    const uint64_t offset = bursts_.front().address - base_;
    const bool inside = bursts_.front().address >= base_ && offset + kBytes <= content_.size();
    if (inside) std::memcpy(words, &content_[offset], kBytes);
    std::memcpy(&top_.m_axi_rdata, words, kBytes);
    top_.m_axi_rresp = inside ? 0 : 3;
    top_.m_axi_rlast = bursts_.front().left == 1;
  }

  void take_from_memory() {
    if (top_.m_axi_rvalid && top_.m_axi_rready) {
      bursts_.front().address += kPortBits / 8;
      if (--bursts_.front().left == 0) bursts_.pop_front();
    }
    if (top_.m_axi_arvalid && top_.m_axi_arready) bursts_.push_back({top_.m_axi_araddr, top_.m_axi_arlen + 1u});
  }

  std::deque<Burst> bursts_;
#else
  void drive_memory() {}
  void take_from_memory() {}
#endif

  VerilatedContext context_;
  Vegret top_;
  uint64_t cycles_ = 0;
  uint64_t base_ = 0;
  std::vector<uint8_t> content_;
};

egret_result read(void* top, uint32_t address, uint32_t* word) { return static_cast<Top*>(top)->read(address, word); }
egret_result write(void* top, uint32_t address, uint32_t word) { return static_cast<Top*>(top)->write(address, word); }
egret_result send(void* top, const egret_event* events, std::size_t count, egret_mark mark, std::size_t* sent) {
  return static_cast<Top*>(top)->send(events, count, mark, sent);
}
egret_result take(void* top, egret_beat* beat) { return static_cast<Top*>(top)->take(beat); }

}  // namespace

extern "C" {
void egret_top_open(egret_port* port) { *port = {new Top, read, write, send, take}; }
void egret_top_close(egret_port* port) { delete static_cast<Top*>(port->context); }
void egret_top_fill(egret_port* port, uint32_t base, const uint8_t* bytes, std::size_t count) {
  static_cast<Top*>(port->context)->fill(base, bytes, count);
}
// A beat as it is, whatever the driver would make of it.
egret_result egret_top_send(egret_port* port, const egret_beat* beat) {
  return static_cast<Top*>(port->context)->send(*beat);
}
int egret_top_interrupt(egret_port* port) { return static_cast<Top*>(port->context)->interrupt(); }
uint64_t egret_top_cycles(egret_port* port) { return static_cast<Top*>(port->context)->cycles(); }
}
