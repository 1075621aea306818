// Fan-out lists: which lanes a beat is for, how many slots are walked there, and what their targets are.

#ifndef EGRET_CYCLES_LISTS_H
#define EGRET_CYCLES_LISTS_H

#include <algorithm>
#include <vector>

#include "data.h"

namespace egret {

// Of a lane's queue: a beat, or half of one, or a list; or a marker.
struct Item {
  int64_t push;
  uint32_t at;      // beat, or first entry
  uint32_t serial;  // of its event
  uint32_t slots;   // cycles that it takes
  uint32_t source;
  Kind kind;
  uint8_t half;  // 1: the lower one, 2: the upper one
  uint8_t bank, group;
  bool forward;
};

class Lists : public CyclePart {
 public:
  static constexpr uint32_t kNothing = ~uint32_t{0};
  static constexpr int kHazard = 4;  // hw/accumulate.py: HAZARD_DISTANCE
  static constexpr uint8_t kNone = 255;
  // Lanes of a beat, kNone where there is no second, and the slots of each part up to the last that is not 0.
  struct BeatParts {
    uint8_t lane[2], slots[2];
  };

  explicit Lists(CycleState& state) : CyclePart(state) {
    if (p_.streamed) measure_beats();
  }

  const BeatParts& parts(uint32_t beat) const { return parts_[beat]; }

  bool is_real(unsigned lane, const Item& item, int64_t slot) const {
    if (!p_.streamed) return true;
    uint32_t targets[kHazard];
    decode(lane, item, slot, targets);
    return targets[0] != kNothing;
  }

  // Write the targets of slots from `first` on, at most as many as are compared.
  void decode(unsigned lane, const Item& item, int64_t first, uint32_t* targets) const {
    const int64_t end = std::min<int64_t>(item.slots, first + kHazard);
    if (!p_.streamed) {
      const uint32_t* entries = n_.entries + n_.entries_of[lane] + item.at;
      for (int64_t slot = first; slot < end; ++slot) targets[slot - first] = entries[slot];
      return;
    }
    const Bits bits = body(item.at, item.half);
    const bool is_input = item.source < p_.inputs;
    const int64_t row = static_cast<int64_t>(bits.head >> (p_.lane_bits + 3));
    const bool readout = !is_input && row >= p_.readout_base;
    const bool dense = (is_input && p_.dense_inputs) || (readout && p_.dense_readout);
    const int64_t places = readout ? 4 : 3, gap = dense ? 0 : p_.gap_bits;
    int64_t target = row * places + static_cast<int64_t>(bits.head >> (p_.lane_bits + 1) & 3);
    const int64_t next = item.group;  // of the units of layer `group` - 1
    const int64_t boundary = is_input ? 0 : next < p_.layers ? n_.layer_base[next] : p_.row_count;
    for (int64_t slot = 0; slot < end; ++slot) {
      const int64_t offset = slot * (p_.weight_bits + gap);
      if (slot) target += 1 + static_cast<int64_t>(bits.take(offset - gap, gap));
      if (slot < first) continue;
      const bool recurrent = !readout && target / places < boundary;
      const bool real = bits.take(offset, p_.weight_bits) && !(item.forward && recurrent);
      const int64_t sum = target / places * 4 + target % places + recurrent;
      targets[slot - first] = real ? static_cast<uint32_t>(sum) : kNothing;
    }
  }

 private:
  struct Bits {
    uint64_t head, low, high;  // the header; the body
    uint64_t take(int64_t offset, int64_t width) const {
      if (!width) return 0;
      const uint64_t mask = (uint64_t{1} << width) - 1;
      if (offset >= 64) return high >> (offset - 64) & mask;
      return (low >> offset | (offset ? high << (64 - offset) : 0)) & mask;
    }
  };
  Bits body(uint64_t beat, uint8_t half) const {
    const uint64_t low = n_.beats[2 * beat], high = n_.beats[2 * beat + 1];
    if (half) return {(half == 1 ? low : high) & 0xFFFF, (half == 1 ? low : high) >> 16, 0};
    return {low & 0xFFFF, low >> 16 | high << 48, high >> 16};
  }

  void measure_beats() {
    parts_.resize(static_cast<std::size_t>(p_.list_bytes / 16));
    const uint64_t lane_mask = (uint64_t{1} << p_.lane_bits) - 1;
    for (int64_t source = 0; source < p_.sources; ++source)
      for (int64_t beat = n_.first[source]; beat < n_.first[source] + n_.count[source]; ++beat) {
        BeatParts& parts = parts_[static_cast<std::size_t>(beat)];
        const bool halves = n_.beats[2 * beat] & 1;
        parts.lane[1] = kNone;
        for (uint8_t k = 0; k < 1 + halves; ++k) {
          const Bits bits = body(static_cast<uint64_t>(beat), halves ? static_cast<uint8_t>(k + 1) : 0);
          const int64_t row = static_cast<int64_t>(bits.head >> (p_.lane_bits + 3));
          const bool is_input = source < p_.inputs;
          const bool dense = is_input ? p_.dense_inputs : p_.dense_readout && row >= p_.readout_base;
          const int64_t step = p_.weight_bits + (dense ? 0 : p_.gap_bits);
          int64_t slots = 1;
          for (int64_t slot = 1; slot * step + p_.weight_bits <= 112; ++slot)
            if (bits.take(slot * step, p_.weight_bits)) slots = slot + 1;
          parts.lane[k] = static_cast<uint8_t>(bits.head >> 1 & lane_mask);
          parts.slots[k] = static_cast<uint8_t>(slots);
        }
      }
  }

  std::vector<BeatParts> parts_;
};

}  // namespace egret

#endif  // EGRET_CYCLES_LISTS_H
