// The sequencer, and the cell units with their schedulers: when each unit is updated, and what follows from it.

#ifndef EGRET_CYCLES_CELLS_H
#define EGRET_CYCLES_CELLS_H

#include <algorithm>
#include <vector>

#include "lanes.h"
#include "queue.h"

namespace egret {

// What a cell unit hands on for a unit, or a row of the readout: hw/event.py.
struct Result {
  bool to_lanes, to_output, final;
  uint8_t layer;
  uint32_t source;
  int64_t step;
};

class Cells : public CyclePart {
 public:
  // The core is reset until `begun`.
  Cells(CycleState& state, Lanes& lanes, int64_t begun)
      : CyclePart(state), lanes_(lanes), per_cell_(static_cast<unsigned>(p_.lanes / p_.cell_units)),
        sums_after_(3 + (p_.lanes > p_.cell_units) + 2 * (hops_ - 1)),  // hw/cell_group.py
        begun_(begun), sweep_end_(begun + 2 * p_.rows), emits_(static_cast<std::size_t>(p_.sources), 0) {
    for (unsigned unit = 0; unit < p_.cell_units; ++unit) cells_.emplace_back(!far_);
  }

  unsigned count() const { return static_cast<unsigned>(cells_.size()); }
  bool has_result(unsigned unit) const { return cells_[unit].results.valid(); }
  const Result& result(unsigned unit) const { return cells_[unit].results.front(); }
  bool input_ready() const { return input_ready_; }
  bool busy() const {
    for (const Cell& cell : cells_)
      if (now_ <= cell.busy_until || (cell.pending && cell.eligible)) return true;
    return false;
  }

  // The results of some units were taken in this cycle; an end of input, an end of a layer was broadcast.
  void cycle(uint64_t taken, bool input_end, bool layer_end) {
    if (taken) stir();
    if (now_ <= stirred_) schedule(taken);
    sequence(input_end, layer_end);
  }

  // Whether lanes have passed what the job names, where that has changed.
  void look(uint64_t lanes) {
    if (lanes) stir();
    each(lanes, [this](unsigned lane) { look_at(lane); });
  }

 private:
  struct Pending {  // what a cell unit hands on in a cycle
    bool pushes = false;
    uint8_t released = 0;  // places of its results queue
    Result result{};
  };
  static constexpr unsigned kPipeline = 128;  // more than the cycles from a grant to its result
  struct Cell {
    explicit Cell(bool direct) : results(32, direct, false), pipeline(kPipeline) {}
    CycleQueue<Result> results;
    std::vector<Pending> pipeline;  // a ring, by cycle
    uint64_t pending = 0, eligible = 0, chosen = 0, was_ready = 0;
    int64_t row[64] = {};
    int64_t left = 0, last_row = 0, kept = 0;
    bool room = false, grant = false, grant_readout = false, was_idle = true;
    int64_t busy_until = INT64_MIN / 2;  // a unit is under way
  };
  struct Job {
    int64_t step = 0, layer = 0, base = 0, rows = 0, need_inputs = 0, need_layers = 0;
    bool readout = false, output = false, first = false;
    uint8_t bank = 0;
  };

  // Schedulers that nothing has happened to for a while stay as they are: it spares most of their cycles.
  static constexpr int64_t kSettling = 8;  // more than the registers between any two of them
  void stir() { stirred_ = std::max(stirred_, now_ + kSettling); }

  void look_at(unsigned number) {
    const bool ready = lanes_.layers_passed(number) >= job_.need_layers &&
                       (!job_.first || lanes_.inputs_passed(number) >= job_.need_inputs);
    ready_ = ready ? ready_ | bit(number) : ready_ & ~bit(number);
  }

  // Schedulers, and what follows from each grant.
  void schedule(uint64_t taken) {
    const bool starts = now_ == started_ + 1 + far_;
    if (starts) {
      job_ = next_job_;
      look(all_lanes_);
    }
    bool all_idle = true;
    const unsigned turn = static_cast<unsigned>(now_ - begun_) & 3;
    for (unsigned k = 0; k < cells_.size(); ++k) {
      Cell& cell = cells_[k];
      const uint64_t lanes_mask = per_cell_ == 64 ? ~uint64_t{0} : (uint64_t{1} << per_cell_) - 1;
      const uint64_t ready = ready_ >> (k * per_cell_) & lanes_mask;
      all_idle &= far_ ? cell.was_idle : !cell.pending;
      cell.was_idle = !cell.pending;

      // What leaves the pipeline, and the places that it frees.
      Pending& here = cell.pipeline[static_cast<uint64_t>(now_) & (kPipeline - 1)];
      if (taken & bit(k)) ++cell.pipeline[static_cast<uint64_t>(now_ + hops_) & (kPipeline - 1)].released;
      if (here.pushes || !cell.results.idle()) cell.results.step(here.pushes, here.result, taken & bit(k));

      // The grant of the cycle before.
      const bool has_room = cell.kept < 30 - far_ - (p_.streamed && job_.readout ? 4 : 0);
      cell.kept += (cell.grant ? (p_.streamed && cell.grant_readout ? 4 : 1) : 0) - here.released;
      here = {};

      // The choice of this one.
      const uint64_t chosen = cell.room ? cell.eligible & (~cell.eligible + 1) : 0;
      const uint64_t grants = far_ ? cell.chosen & cell.pending : chosen;
      cell.chosen = chosen;
      cell.room = has_room && (!p_.streamed || !job_.readout || !turn);
      cell.grant = grants != 0;
      cell.grant_readout = job_.readout;
      uint64_t still_pending = cell.pending;
      if (grants) {
        const unsigned lane = static_cast<unsigned>(__builtin_ctzll(grants));
        grant(k, cell, lane);
        if (cell.row[lane]++ == cell.last_row) still_pending &= ~grants;
        --cell.left;
      }
      const uint64_t is_ready = far_ ? cell.was_ready : ready;
      cell.was_ready = ready;
      if (starts) {
        cell.pending = lanes_mask;
        cell.eligible = far_ ? 0 : ready;
        cell.last_row = job_.base + job_.rows - 1;
        cell.left = job_.rows * per_cell_;
        std::fill(cell.row, cell.row + per_cell_, job_.base);
      } else {
        cell.pending = still_pending;
        cell.eligible = still_pending & is_ready;
      }
      if (cell.eligible) stir();
    }
    cells_idle_now_ = all_idle;
  }

  void grant(unsigned unit, Cell& cell, unsigned place) {
    const unsigned lane = unit * per_cell_ + place;
    const int64_t granted = now_ + 1;  // the cycle in which the grant shows
    const int32_t who = n_.unit_at[lane * p_.row_count + cell.row[place]];
    lanes_.drain_at(lane, job_.bank, granted + hops_ - 1);
    const bool final = cell.left == 1;
    const int64_t first = std::min<int64_t>(1, hops_ - 1);  // until it is known whether there is a result
    Result result{false, false, final, static_cast<uint8_t>(job_.layer), 0, job_.step};
    const auto hand_on = [&](int64_t when, bool has_result) {
      if (has_result) {
        Pending& then = cell.pipeline[static_cast<uint64_t>(when + hops_ - 1) & (kPipeline - 1)];
        then.pushes = true;
        then.result = result;
      } else {
        ++cell.pipeline[static_cast<uint64_t>(when + first + 1) & (kPipeline - 1)].released;
      }
    };
    const int64_t sums = granted + sums_after_;
    stirred_ = std::max(stirred_, sums + p_.unit_latency + hops_ + kSettling);  // a row of the readout is done before
    if (!job_.readout) {
      ++t_.updates;
      if (who >= 0 && emits_[static_cast<std::size_t>(who)]) {
        result.to_lanes = true;
        result.to_output = job_.output;
        result.source = static_cast<uint32_t>(who);
      }
      hand_on(sums + p_.unit_latency, result.to_lanes || final);
      cell.busy_until = std::max(cell.busy_until, sums + p_.unit_latency + hops_);
    } else if (!p_.streamed) {
      result.to_output = who > 0;
      hand_on(sums + 1, result.to_output || final);
      cell.busy_until = std::max(cell.busy_until, sums + 1 + hops_);
    } else {
      for (int32_t k = 0; k < 4; ++k) {  // hw/readout_row.py
        result.to_output = k < who;
        result.final = final && k == 3;
        hand_on(sums + 1 + k, result.to_output || result.final);
      }
      cell.busy_until = std::max(cell.busy_until, sums + 4 + hops_);
    }
  }

  void sequence(bool input_end, bool layer_end) {
    const bool sweeps = now_ < sweep_end_;
    const bool input_ended = input_end_seen_, layer_ended = layer_end_seen_;
    input_end_seen_ = input_end;
    layer_end_seen_ = layer_end;
    input_ready_ = !sweeps && input_step_ - steps_ended_ <= 1;
    input_step_ += input_ended;
    if (layer_ended && ++layers_ended_ == egru_) {
      layers_ended_ = 0;
      ++steps_ended_;
    }
    if (sweeps) return;
    if (start_next_) {
      start_next_ = false;
      started_ = now_;
      stir();
      begin_job();
    } else if (cells_idle_ && now_ - started_ >= 3 + 2 * far_) {  // job_latency
      layers_given_ += !(p_.readout && layer_ + 1 == p_.layers);
      if (++layer_ == p_.layers) {
        layer_ = 0;
        ++step_;
      }
      start_next_ = true;
    }
    cells_idle_ = cells_idle_now_;
  }

  void begin_job() {
    const bool first = layer_ == 0, last = layer_ + 1 == p_.layers;
    next_job_ = {step_, layer_, n_.layer_base[layer_], n_.layer_rows[layer_], step_ + 1,
                 first ? layers_given_ - (egru_ - 1) : layers_given_, last && p_.readout, last && !p_.readout, first,
                 static_cast<uint8_t>((step_ ^ layer_) & 1)};
    if (step_ >= p_.steps || next_job_.readout) return;
    for (const uint32_t source : emitting_) emits_[source] = 0;
    const int64_t* bounds = a_.offsets + step_ * groups_ + 1 + layer_;
    emitting_.assign(a_.sources + bounds[0], a_.sources + bounds[1]);
    for (const uint32_t source : emitting_) emits_[source] = 1;
  }

  Lanes& lanes_;
  const unsigned per_cell_;
  const int64_t sums_after_, begun_, sweep_end_;
  std::vector<Cell> cells_;
  uint64_t ready_ = 0;  // lanes that have passed what the job names
  Job job_, next_job_;
  int64_t step_ = 0, layer_ = 0, layers_given_ = 0, layers_ended_ = 0, steps_ended_ = 0, input_step_ = 0;
  int64_t started_ = INT64_MIN / 2, stirred_ = INT64_MIN / 2;
  bool start_next_ = true, cells_idle_ = false, cells_idle_now_ = false, input_ready_ = false;
  bool input_end_seen_ = false, layer_end_seen_ = false;
  std::vector<uint8_t> emits_;  // whether a source of the layer that is updated sends an event
  std::vector<uint32_t> emitting_;
};

}  // namespace egret

#endif  // EGRET_CYCLES_CELLS_H
