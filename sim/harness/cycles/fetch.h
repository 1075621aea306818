// From events to the beats that lanes get, where lists are in external memory.

#ifndef EGRET_CYCLES_FETCH_H
#define EGRET_CYCLES_FETCH_H

#include <algorithm>

#include "lanes.h"
#include "queue.h"

namespace egret {

// hw/list_fetch.py, hw/bus/axi4_read.py, hw/beat_spreader.py
class Fetch : public CyclePart {
 public:
  Fetch(CycleState& state, const MemoryParameters& memory, Lanes& lanes)
      : CyclePart(state), memory_(memory, nullptr, static_cast<uint64_t>(p_.list_bytes)), lanes_(lanes),
        at_once_(std::max<int64_t>(1, p_.port_bits / 128)),
        events_(static_cast<unsigned>(p_.queue_depth), false, false), contexts_(8, false, true),
        bursts_(4, false, true), beats_(16, false, true), free_(p_.queue_depth + 1) {}

  bool ready() const { return ready_; }  // for the broadcaster, in this cycle
  const MemoryCounts& counts() const { return memory_.counts(); }
  void tick(int64_t cycles) {
    while (cycles-- > 0) memory_.tick();
  }

  // Count this cycle if it is a list's, memory's, or the lookup's; return whether it is.
  bool account() {
    if (contexts_.valid()) {
      const Event& event = contexts_.front().event;
      ++(event.kind != kEvent ? t_.tail : beats_.valid() ? t_.walking[event.group] : t_.memory);
    } else if (events_.valid()) {
      ++t_.lookup;
    } else {
      return false;
    }
    return true;
  }

  // `event` was broadcast in the cycle before, if `comes`.
  void cycle(bool comes, const Event& event) {
    const Beat sent = spread();
    const Asked asked = look_up();
    ready_ = ready_next_;
    ready_next_ = free_ > 3 + far_;  // slack
    free_ += left_ - comes;
    left_ = asked.taken;
    events_.step(comes, event, asked.taken);
    read(asked, sent.taken);
    contexts_.step(asked.context, asked.found, sent.context_taken);
  }

 private:
  struct Context {
    Event event;
    int64_t first, count;
    uint32_t serial;
  };
  struct Beat {
    bool taken, context_taken;
  };
  struct Asked {
    bool run, context, taken;  // a run, a context is offered; the event is done with
    Context found;
  };

  uint64_t lanes_of(uint32_t beat) const {
    const Lists::BeatParts& parts = lanes_.lists().parts(beat);
    return bit(parts.lane[0]) | (parts.lane[1] == Lists::kNone ? 0 : bit(parts.lane[1]));
  }
  void send(const Context& context, uint32_t beat) {
    const Lists::BeatParts& parts = lanes_.lists().parts(beat);
    const bool halves = parts.lane[1] != Lists::kNone;
    const Event& event = context.event;
    for (uint8_t k = 0; k < 1 + halves; ++k)
      lanes_.append(parts.lane[k],
                    {now_ + hops_ + 1, beat, context.serial, parts.slots[k], event.source, kEvent,
                     static_cast<uint8_t>(halves ? k + 1 : 0), event.bank, event.group, event.forward});
    ++t_.beats;
  }

  // hw/beat_spreader.py: what is held goes, and what comes is held in its place.
  Beat spread() {
    if (holds_ && !goes()) return {false, false};
    holds_ = false;
    if (!contexts_.valid()) return {false, false};
    const bool is_event = contexts_.front().event.kind == kEvent;
    if (is_event && !beats_.valid()) {
      ++t_.starved;
      return {false, false};
    }
    holds_ = true;
    held_ = contexts_.front();
    held_beat_ = static_cast<uint32_t>(held_.first + beat_of_list_);
    if (!is_event) return {false, true};
    beat_of_list_ += at_once_;
    const bool ends = beat_of_list_ == held_.count;
    if (ends) beat_of_list_ = 0;
    return {true, ends};
  }

  // Return whether all has gone of what is held.
  bool goes() {
    const int64_t seen = now_ + 2 + 2 * hops_;  // that a lane's place is taken
    if (held_.event.kind != kEvent) {
      if (!lanes_.all_ready()) return false;
      const Item item{now_ + hops_ + 1, 0, 0, 1, 0, held_.event.kind, 0, 0, held_.event.group, false};
      for (unsigned lane = 0; lane < lane_count_; ++lane) lanes_.append(lane, item);
      lanes_.take_places(all_lanes_, seen);
      return true;
    }
    // Of beats that came at once each goes when its lanes have room and get none of those before it.
    uint64_t before = 0, sent = 0;
    for (uint32_t way = 0; way < at_once_; ++way) {
      if (done_ >> way & 1) continue;
      const uint64_t wanted = lanes_of(held_beat_ + way);
      if (!(wanted & (before | ~lanes_.ready()))) {
        send(held_, held_beat_ + way);
        done_ |= 1u << way;
        sent |= wanted;
      }
      before |= wanted;
    }
    if (sent) lanes_.take_places(sent, seen);
    else ++t_.held;
    if (done_ != (1u << at_once_) - 1) return false;
    done_ = 0;
    return true;
  }

  // hw/list_fetch.py
  Asked look_up() {
    Asked asked{};
    if (!events_.valid()) return asked;
    if (wait_ != 5) {  // CYCLES - 2
      ++wait_;
      return asked;
    }
    const Event& event = events_.front();
    const bool is_event = event.kind == kEvent;
    asked.found = {event, 0, 0, serial_};
    if (is_event) asked.found.first = n_.first[event.source], asked.found.count = n_.count[event.source];
    const bool nothing = is_event && !asked.found.count;
    asked.run = is_event && !nothing && !asked_;
    asked.context = !nothing && !told_;
    asked_ |= !asking_;
    told_ |= contexts_.ready();
    asked.taken = nothing || ((!is_event || asked_) && told_);
    if (asked.taken) {
      wait_ = 0;
      asked_ = told_ = false;
      ++serial_;
    }
    return asked;
  }

  // hw/bus/axi4_read.py, and memory
  void read(const Asked& asked, bool beat_taken) {
    const bool ar_ready = memory_.ar_ready();
    const bool takes = memory_.r_valid() && bursts_.valid() && beats_.ready();
    bool ends_burst = false, whole = false;
    if (takes) {
      whole = p_.port_bits != 64 || second_half_;
      second_half_ = p_.port_bits == 64 && !second_half_;
      ends_burst = memory_.r().last;
    }
    const bool asks = asking_ && sized_ && (!ar_valid_ || ar_ready) && bursts_.ready();
    const bool accepts = asked.run && !asking_;
    if (ar_valid_ && ar_ready) memory_.ar(ar_address_, ar_length_);
    if (takes) memory_.r_taken();
    memory_.tick();
    if (ar_ready) ar_valid_ = false;
    sized_ = asking_;
    if (asks) {
      const int64_t room = 16 - (run_first_ & 15), beats = std::min(room, run_left_);
      ar_valid_ = true;
      ar_address_ = static_cast<uint32_t>(run_first_ * 16 * at_once_);
      ar_length_ = static_cast<uint8_t>(beats * (p_.port_bits == 64 ? 2 : 1) - 1);
      run_first_ += beats;
      run_left_ -= beats;
      asking_ = run_left_ > 0;
      sized_ = false;
    }
    if (accepts) {
      run_first_ = asked.found.first / at_once_;
      run_left_ = asked.found.count / at_once_;
      asking_ = true;
    }
    beats_.step(takes && whole, 0, beat_taken);
    bursts_.step(asks, 0, takes && ends_burst);
  }

  Memory memory_;
  Lanes& lanes_;
  const int64_t at_once_;
  CycleQueue<Event> events_;
  CycleQueue<Context> contexts_;
  CycleQueue<uint8_t> bursts_, beats_;  // nothing of them counts
  int64_t free_, beat_of_list_ = 0, run_first_ = 0, run_left_ = 0;
  Context held_{};
  uint32_t held_beat_ = 0, serial_ = 0, wait_ = 0, ar_address_ = 0, done_ = 0;  // `done_`: beats of those that came at once
  uint8_t ar_length_ = 0;
  bool asked_ = false, told_ = false, asking_ = false, sized_ = false, ar_valid_ = false;
  bool second_half_ = false, ready_ = false, ready_next_ = false, holds_ = false, left_ = false;
};

}  // namespace egret

#endif  // EGRET_CYCLES_FETCH_H
