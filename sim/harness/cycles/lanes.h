// The lanes: which beat or list each takes when, where it stalls, and which markers it has passed.

#ifndef EGRET_CYCLES_LANES_H
#define EGRET_CYCLES_LANES_H

#include <algorithm>
#include <vector>

#include "lists.h"

namespace egret {

// Of a lane only the beats or lists that it takes are simulated: the next one is taken when the last is walked, a known
// time later but for the cycles in which it stalls, for a drain or a hazard. In a cycle without a stall it *advances*,
// by a slot, which comes to the walk's end a fixed number of advances later, is held in the next cycle, and then goes.
//
// "View": what somebody sees of a far register, as many cycles later as there are registers on the way.
class Lanes : public CyclePart {
 public:
  explicit Lanes(CycleState& state)
      : CyclePart(state), lists_(state),
        // hw/beat_walker.py: LATENCY; hw/fanout_onchip.py: Walker.latency
        walk_latency_(p_.streamed ? 5 : 3 + (p_.forwarding ? 0 : std::min<int64_t>(2, hops_))),
        queue_latency_(!p_.streamed && p_.forwarding ? 1 : 2),
        slack_(p_.streamed ? 1 + 2 * hops_ : 2 + 2 * hops_ + far_),  // hw/fanout_stream.py, hw/fanout_onchip.py
        wheel_(p_.streamed ? 256 : 1 << 15), lane_(lane_count_), ready_(all_lanes_),
        markers_left_(p_.steps * groups_ * p_.lanes) {
    for (Lane& lane : lane_) lane.free = p_.queue_depth + 1;
  }

  // Lanes that have room, as who sends sees them.
  uint64_t ready() const { return ready_; }
  bool all_ready() const { return ready_ == all_lanes_; }
  // Markers of each kind that a lane has passed, as its cell unit sees them, and the lanes for which that has changed.
  int64_t inputs_passed(unsigned lane) const { return lane_[lane].inputs_passed; }
  int64_t layers_passed(unsigned lane) const { return lane_[lane].layers_passed; }
  uint64_t changed() const { return changed_; }
  int64_t markers_left() const { return markers_left_; }  // to be passed until the end
  const Lists& lists() const { return lists_; }
  uint8_t walking_group() const { return walking_group_; }
  bool busy() const {
    for (const Lane& lane : lane_)
      if (lane.head != lane.tail || now_ < lane.busy_until + walk_latency_) return true;
    return false;
  }

  // What happens to all lanes in this cycle, after what was told before it.
  void cycle() {
    Slot slot{};
    std::swap(slot, at(now_));
    each(slot.more, [this](unsigned lane) { ++lane_[lane].free; });
    each(slot.dropped, [this](unsigned lane) { ++lane_[lane].free; });
    each(slot.less, [this](unsigned lane) { --lane_[lane].free; });
    each(slot.more | slot.dropped | slot.less, [this](unsigned lane) {
      ready_ = lane_[lane].free > slack_ ? ready_ | bit(lane) : ready_ & ~bit(lane);
    });
    each(slot.inputs, [this](unsigned lane) { ++lane_[lane].inputs_passed; });
    each(slot.layers, [this](unsigned lane) { ++lane_[lane].layers_passed; });
    changed_ = slot.inputs | slot.layers;
    markers_left_ -= __builtin_popcountll(slot.inputs) + __builtin_popcountll(slot.layers);
    each(slot.take, [this](unsigned lane) { take(lane); });
    each(slot.watch, [this](unsigned lane) { arrive(lane); });
    each(slot.drain, [this, &slot](unsigned lane) { drain(lane, slot.drain_bank >> lane & 1); });
  }

  // Append to a lane's queue what comes to it at `item.push`.
  void append(unsigned number, const Item& item) {
    Lane& lane = lane_[number];
    lane.queue[lane.tail++ & 127] = item;
    if (!lane.scheduled) schedule(number, lane);
  }
  // From the broadcaster to all lanes, where lists are on chip (hw/fanout_onchip.py); it leaves in the next cycle.
  void spread(const Event& event) {
    const int64_t comes = now_ + 1 + hops_;  // behind the relay of each lane
    at(comes + 1 + hops_).less |= all_lanes_;
    uint64_t dropped = 0;
    Item item{comes + 2 + far_, 0, serial_++, 1, event.source, event.kind, 0, event.bank, event.group, false};
    for (unsigned lane = 0; lane < lane_count_; ++lane) {
      if (event.kind == kEvent) {
        const std::size_t list = lane * static_cast<std::size_t>(p_.sources) + event.source;
        item.slots = event.forward ? n_.forward[list] : n_.whole[list];
        item.at = n_.start[list];
        if (!item.slots) {
          dropped |= bit(lane);
          continue;
        }
      }
      append(lane, item);
    }
    at(comes + 4 + hops_).dropped |= dropped;
  }

  // A place of some lanes is taken, as who sends sees it in that cycle; a row of a lane is drained.
  void take_places(uint64_t lanes, int64_t cycle) { at(cycle).less |= lanes; }
  void drain_at(unsigned lane, uint64_t bank, int64_t cycle) {
    Slot& slot = at(cycle);
    slot.drain |= bit(lane);
    slot.drain_bank = (slot.drain_bank & ~bit(lane)) | bank << lane;
  }

 private:
  static constexpr int kHazard = Lists::kHazard;

  struct Walked {
    int64_t from;  // the advance of the lane with which it began
    Item item;
  };
  struct Watch {
    int64_t at;  // the slot, in advances
    int64_t earlier;  // of a hazard: the slot with the same target
    Kind marker;      // kEvent: a hazard
  };
  struct Lane {
    Item queue[128];
    Walked walked[32];
    Watch watches[64];
    uint32_t head = 0, tail = 0, walks = 0, watch_head = 0, watch_tail = 0;
    int64_t busy_until = INT64_MIN / 2;  // the first cycle in which it may take what comes next
    bool scheduled = false;
    int64_t stalls = 0, stalled_last = INT64_MIN / 2;  // cycles without an advance; the last one that is known
    uint64_t stalled_bits = 0;                         // bit k: k cycles before that
    int64_t free = 0;                                  // places, as who sends sees them
    int64_t inputs_passed = 0, layers_passed = 0;      // as its cell unit sees them
  };
  struct Slot {  // of the wheel: lanes to which something happens in that cycle
    uint64_t take = 0, watch = 0, more = 0, dropped = 0, less = 0, inputs = 0, layers = 0, drain = 0, drain_bank = 0;
  };

  Slot& at(int64_t cycle) { return wheel_[static_cast<uint64_t>(cycle) & (wheel_.size() - 1)]; }

  bool stalled(const Lane& lane) const { return now_ <= lane.stalled_last; }
  bool was_stalled(const Lane& lane, int64_t cycle) const {
    const int64_t ago = lane.stalled_last - cycle;
    return ago >= 0 && ago < 64 && lane.stalled_bits >> ago & 1;
  }
  // Advances before this cycle.
  int64_t advances(const Lane& lane) const {
    return now_ - lane.stalls + std::max<int64_t>(0, lane.stalled_last - now_ + 1);
  }
  // Let the lane stall in all cycles from the next one on to `last`; return how many of them are new.
  int64_t stall(Lane& lane, int64_t last) {
    const int64_t first = std::max(now_, lane.stalled_last) + 1, more = last - first + 1;
    if (more <= 0) return 0;
    if (lane.busy_until > first) lane.busy_until += more;
    lane.stalls += more;
    const int64_t shift = last - lane.stalled_last;
    lane.stalled_bits = (shift < 64 ? lane.stalled_bits << shift : 0) | ((uint64_t{1} << more) - 1);
    lane.stalled_last = last;
    return more;
  }

  void schedule(unsigned number, Lane& lane) {
    lane.scheduled = lane.head != lane.tail;
    if (!lane.scheduled) return;
    const int64_t when = std::max(lane.busy_until, lane.queue[lane.head & 127].push + queue_latency_);
    at(std::max(when, now_ + 1)).take |= bit(number);
  }

  void take(unsigned number) {
    Lane& lane = lane_[number];
    const Item& item = lane.queue[lane.head & 127];
    if (stalled(lane) || now_ < lane.busy_until || now_ < item.push + queue_latency_) return schedule(number, lane);
    const int64_t from = advances(lane);
    // A place is told to be free a cycle later on chip (hw/fanout_onchip.py: left), and seen after all registers.
    at(now_ + 1 + hops_ + !p_.streamed).more |= bit(number);
    if (item.kind != kEvent) {
      watch(number, lane, {from, 0, item.kind});
    } else if (!p_.forwarding) {
      find_hazards(number, lane, from, item);
    }
    t_.lane_slots += item.slots;
    lane.walked[lane.walks++ & 31] = {from, item};
    lane.busy_until = now_ + item.slots;
    walking_group_ = item.group;
    ++lane.head;
    schedule(number, lane);
  }

  void watch(unsigned number, Lane& lane, const Watch& what) {
    lane.watches[lane.watch_tail & 63] = what;
    if (lane.watch_tail++ == lane.watch_head) schedule_watch(number, lane);
  }
  void schedule_watch(unsigned number, Lane& lane) {
    if (lane.watch_head == lane.watch_tail) return;
    const int64_t left = lane.watches[lane.watch_head & 63].at + walk_latency_ - advances(lane);
    at(now_ + std::max<int64_t>(1, left)).watch |= bit(number);
  }
  // A slot that is watched comes to the end of the walk, to be held in the next cycle.
  void arrive(unsigned number) {
    Lane& lane = lane_[number];
    const Watch& what = lane.watches[lane.watch_head & 63];
    if (!stalled(lane) && advances(lane) == what.at + walk_latency_) {
      if (what.marker == kEvent) {
        int64_t went = now_;
        for (int64_t left = what.at - what.earlier - 1; left; left -= !was_stalled(lane, went)) --went;
        t_.lane_hazards += stall(lane, went + kHazard);
      } else {
        (what.marker == kInputEnd ? at(now_ + 1 + hops_).inputs : at(now_ + 1 + hops_).layers) |= bit(number);
      }
      ++lane.watch_head;
    }
    schedule_watch(number, lane);
  }

  const Walked* find(const Lane& lane, int64_t slot) const {
    for (uint32_t k = 1; k <= 32 && k <= lane.walks; ++k) {
      const Walked& walked = lane.walked[(lane.walks - k) & 31];
      if (slot >= walked.from) return slot < walked.from + walked.item.slots ? &walked : nullptr;
    }
    return nullptr;
  }
  void drain(unsigned number, uint8_t bank) {
    Lane& lane = lane_[number];
    const bool waits = stalled(lane);
    const int64_t slot = advances(lane) - walk_latency_ - waits;
    const Walked* walked = find(lane, slot);
    if (!walked || walked->item.kind != kEvent || (p_.split_banks && walked->item.bank != bank)) return;
    if (!waits && !lists_.is_real(number, walked->item, slot - walked->from)) return;
    t_.lane_drains += stall(lane, now_ + 1);
  }

  // Operations of a list that meets another one's: the last few slots of that, the first few of this.
  void find_hazards(unsigned number, Lane& lane, int64_t from, const Item& item) {
    uint32_t targets[kHazard], before[kHazard];
    bool decoded = false;
    int64_t nearest[kHazard];
    std::fill(nearest, nearest + kHazard, from - kHazard - 1);
    for (uint32_t k = 1; k <= 8 && k <= lane.walks; ++k) {
      const Walked& walked = lane.walked[(lane.walks - k) & 31];
      const int64_t end = walked.from + walked.item.slots;
      if (end <= from - kHazard) break;
      if (walked.item.kind != kEvent || walked.item.serial == item.serial || walked.item.bank != item.bank) continue;
      const int64_t first = std::max<int64_t>(walked.from, from - kHazard) - walked.from;
      lists_.decode(number, walked.item, first, before);
      if (!decoded) lists_.decode(number, item, 0, targets);
      decoded = true;
      const int64_t slots = std::min<int64_t>(kHazard, item.slots);
      for (int64_t slot = 0; slot < slots; ++slot)
        for (int64_t earlier = first; earlier < walked.item.slots; ++earlier)
          if (targets[slot] != Lists::kNothing && targets[slot] == before[earlier - first])
            nearest[slot] = std::max(nearest[slot], walked.from + earlier);
    }
    for (int64_t slot = 0; decoded && slot < kHazard; ++slot)
      if (from + slot - nearest[slot] <= kHazard) watch(number, lane, {from + slot, nearest[slot], kEvent});
  }

  Lists lists_;
  const int64_t walk_latency_, queue_latency_, slack_;
  std::vector<Slot> wheel_;
  std::vector<Lane> lane_;
  uint64_t ready_, changed_ = 0;
  int64_t markers_left_;
  uint32_t serial_ = 0;
  uint8_t walking_group_ = 0;
};

}  // namespace egret

#endif  // EGRET_CYCLES_LANES_H
