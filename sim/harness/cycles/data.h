// What goes into the cycle model, what comes out, and what its parts share.

#ifndef EGRET_CYCLES_DATA_H
#define EGRET_CYCLES_DATA_H

#include <cstdint>

#include "../memory.h"

namespace egret {

// In the order in which sim/cycle_model.py packs them.
struct CycleParameters {
  // Of the core:
  int64_t lanes, cell_units, queue_depth, rows, hops, split_banks, forwarding, streamed, port_bits, counters;
  int64_t unit_latency;                                // from a unit's sums to its result: hw/cell_egru.py, stages()
  int64_t weight_bits, gap_bits, lane_bits, row_bits;  // of beats: docs/beats.md
  int64_t layers, readout, inputs, sources;            // layers with the readout
  int64_t dense_inputs, dense_readout, readout_base, row_count;
  int64_t list_bytes, image_words;
  int64_t stepwise, steps;

  static constexpr std::size_t kNumbers = 27;
};
static_assert(sizeof(CycleParameters) == CycleParameters::kNumbers * sizeof(int64_t));

struct CycleNetwork {
  const int32_t* layer_base;  // (layers,) rows
  const int32_t* layer_rows;
  const int32_t* unit_at;     // (lanes, rows): source, or of a row of the readout how many outputs; -1 where none
  const uint64_t* beats;      // streamed: (beats, 2)
  const int64_t* first;       // streamed: (sources,), in beats
  const int64_t* count;
  const uint32_t* start;      // on chip: (lanes, sources), of the lane's entries
  const uint32_t* forward;    // on chip: entries of the forward part, and of the whole list
  const uint32_t* whole;
  const uint32_t* entries;    // on chip: targets, one lane after the other
  const int64_t* entries_of;  // on chip: (lanes,), where each lane's begin
};

struct CycleActivity {
  const int64_t* offsets;   // (steps * groups + 1,): into `sources`; groups are the inputs, then each layer
  const uint32_t* sources;  // who sends an event
  const uint8_t* ending;    // (steps,): it ends a sequence
};

struct StepCycles {
  int64_t first_input, last_input, output, beats, outputs;
};

constexpr int kGroupsMax = 17;
struct CycleTotals {
  int64_t cycles;
  int64_t beats, held, starved;   // sent by the spreader; a beat waited for a lane; nothing had come from memory
  int64_t events, updates;
  int64_t lane_slots, lane_hazards, lane_drains;  // lane-cycles: walked, and lost
  // Each cycle counted once, from here on: lists of each group walked, then what else went on.
  int64_t walking[kGroupsMax];
  int64_t memory, lookup, tail, cells, output, rest;
  MemoryCounts counts;
};

enum Kind : uint8_t { kEvent, kInputEnd, kLayerEnd };

struct Event {
  Kind kind;
  bool forward;  // only that part of its list is walked
  uint8_t bank, group;
  uint32_t source;
  int64_t step;
};

// What all parts of the model share.
struct CycleState {
  CycleParameters p;
  CycleNetwork n;
  CycleActivity a;
  StepCycles* steps;
  int64_t now;  // the cycle; 0 is the first one after loading
  CycleTotals totals;
};

class CyclePart {
 protected:
  explicit CyclePart(CycleState& state)
      : p_(state.p), n_(state.n), a_(state.a), steps_(state.steps), now_(state.now), t_(state.totals), hops_(p_.hops),
        far_(p_.hops > 1), lane_count_(static_cast<unsigned>(p_.lanes)),
        all_lanes_(lane_count_ == 64 ? ~uint64_t{0} : (uint64_t{1} << lane_count_) - 1), egru_(p_.layers - p_.readout),
        groups_(1 + egru_) {}

  static uint64_t bit(unsigned lane) { return uint64_t{1} << lane; }
  template <typename F>
  static void each(uint64_t lanes, F f) {
    for (; lanes; lanes &= lanes - 1) f(static_cast<unsigned>(__builtin_ctzll(lanes)));
  }

  const CycleParameters& p_;
  const CycleNetwork& n_;
  const CycleActivity& a_;
  StepCycles* const& steps_;
  const int64_t& now_;
  CycleTotals& t_;
  const int64_t hops_;
  const bool far_;
  const unsigned lane_count_;
  const uint64_t all_lanes_;
  const int64_t egru_, groups_;  // layers of units; groups of sources
};

}  // namespace egret

#endif  // EGRET_CYCLES_DATA_H
