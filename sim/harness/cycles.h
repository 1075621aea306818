// The core, beat by beat: when each list is read and walked, each unit updated, each output sent, without any value.
//
//   egret::CycleModel model(parameters, network, activity, memory, steps);
//   model.run();
//
// Who sends an event at which step is known beforehand; what is simulated is when. Whatever takes part in a handshake
// is advanced cycle by cycle as in hw/, one file of cycles/ for each few of its files; what a lane does between two
// beats, or two lists, is not. sim/cycle_model.py drives it; docs/cycle-model.md says what is left out.

#ifndef EGRET_CYCLES_H
#define EGRET_CYCLES_H

#include <algorithm>
#include <memory>

#include "cycles/broadcast.h"
#include "cycles/cells.h"
#include "cycles/data.h"
#include "cycles/fetch.h"
#include "cycles/lanes.h"
#include "memory.h"

namespace egret {

class CycleModel {
 public:
  // One row a step is written to `steps`.
  CycleModel(const CycleParameters& p, const CycleNetwork& n, const CycleActivity& a, const MemoryParameters& memory,
             StepCycles* steps)
      : state_{p, n, a, steps, begun(p), {}}, lanes_(state_), fetch_(state_, memory, lanes_),
        cells_(state_, lanes_, state_.now), broadcaster_(state_, lanes_, fetch_, cells_) {
    if (p.streamed) fetch_.tick(p.image_words + kSettled - 1 + state_.now);
  }

  const CycleTotals& run() {
    // When all is out, so is the core idle, and its counts are complete, some cycles later: hw/progress.py.
    const int64_t settling = (state_.p.counters ? 8 : 4) + (state_.p.lanes > 16);
    int64_t idle = 0;
    while (broadcaster_.output().done() < state_.p.steps || lanes_.markers_left() || state_.now < idle) {
      cycle();
      const int64_t passed = lanes_.changed() ? state_.now + settling : 0;
      idle = std::max({idle, passed, broadcaster_.output().last_taken() + 2});
    }
    state_.totals.cycles = state_.now;
    state_.totals.counts = fetch_.counts();
    return state_.totals;
  }

 private:
  // The harness loads a word a cycle, lets the core settle for 64 cycles and clears the counters: cycles from the last
  // word to cycle 0. The word sets the core going `hops` + 5 cycles later (hw/loader.py, hw/stops.py).
  static constexpr int64_t kSettled = 66;
  static int64_t begun(const CycleParameters& p) { return p.hops + 5 - kSettled; }

  // First what happens to the lanes, then everything else from the registers of this cycle to those of the next.
  void cycle() {
    lanes_.cycle();
    cells_.look(lanes_.changed());
    account();
    if (state_.p.streamed) fetch_.cycle(broadcaster_.valid(), broadcaster_.event());
    broadcaster_.cycle();
    ++state_.now;
  }

  // Where this cycle goes.
  void account() {
    CycleTotals& t = state_.totals;
    if (state_.now < 0 || (state_.p.streamed && fetch_.account())) return;
    if (lanes_.busy()) ++(state_.p.streamed ? t.tail : t.walking[lanes_.walking_group()]);
    else if (cells_.busy()) ++t.cells;
    else if (broadcaster_.output().busy()) ++t.output;
    else ++t.rest;
  }

  CycleState state_;
  Lanes lanes_;
  Fetch fetch_;
  Cells cells_;
  Broadcaster broadcaster_;
};

}  // namespace egret

#ifdef EGRET_CYCLES_LIBRARY  // what sim/cycles/library.py calls

extern "C" {

// Return what is wrong, or null.
const char* egret_cycles_run(const egret::CycleParameters* parameters, const egret::CycleNetwork* network,
                             const egret::CycleActivity* activity, const uint64_t* memory, uint64_t memory_count,
                             egret::StepCycles* steps, egret::CycleTotals* totals) {
  egret::MemoryParameters of_memory{};
  if (const char* wrong = of_memory.read(memory, memory_count)) return wrong;
  const auto model = std::make_unique<egret::CycleModel>(*parameters, *network, *activity, of_memory, steps);
  *totals = model->run();
  return nullptr;
}

}  // extern "C"

#endif  // EGRET_CYCLES_LIBRARY
#endif  // EGRET_CYCLES_H
