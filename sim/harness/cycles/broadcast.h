// The input decoder, the broadcaster and the output: in which order events, results and ends go.

#ifndef EGRET_CYCLES_BROADCAST_H
#define EGRET_CYCLES_BROADCAST_H

#include <algorithm>

#include "cells.h"
#include "fetch.h"
#include "lanes.h"
#include "queue.h"

namespace egret {

// hw/input_decoder.py, behind input that is offered as the harness offers it.
class Input : public CyclePart {
 public:
  explicit Input(CycleState& state) : CyclePart(state), arrivals_(2, false, true), decoded_(2, !far_, true) {}

  bool valid() const { return decoded_.valid(); }
  bool has_event() const { return decoded_.front().has_event && !sent_; }
  Event event() const {
    const Beat& beat = decoded_.front();
    return {has_event() ? kEvent : kInputEnd, false, static_cast<uint8_t>(beat.step & 1), 0, beat.source, beat.step};
  }

  // What is shown is taken, if there is any, in this cycle; so many steps are out.
  void cycle(bool taken, int64_t outputs_done) {
    Beat coming{};
    CycleQueue<Beat>& entry = far_ ? arrivals_ : decoded_;
    const bool accepted = offers(outputs_done) && entry.ready();
    if (accepted) coming = next();
    bool leaves = false;
    if (decoded_.valid()) {
      const bool had_event = has_event();
      leaves = taken && !(had_event && decoded_.front().last);  // the event of a beat goes before its end of step
      sent_ = !leaves && (sent_ || (had_event && taken));
    }
    if (far_) {
      const bool passes = arrivals_.valid() && decoded_.ready();
      decoded_.step(arrivals_.valid(), arrivals_.front(), leaves);
      arrivals_.step(accepted, coming, passes);
    } else {
      decoded_.step(accepted, coming, leaves);
    }
  }

 private:
  struct Beat {
    uint32_t source;
    bool has_event, last;
    int64_t step;
  };

  // sim/harness/harness.cpp: what is offered stays so until it is accepted.
  bool offers(int64_t outputs_done) {
    if (next_step_ >= p_.steps || now_ < 0) return false;
    return offering_ = offering_ || !p_.stepwise || outputs_done >= next_step_;
  }
  Beat next() {
    const int64_t* bounds = a_.offsets + next_step_ * groups_;
    const int64_t events = bounds[1] - bounds[0];
    Beat beat{0, events > 0, next_event_ + 1 >= events, next_step_};
    if (events) beat.source = a_.sources[bounds[0] + next_event_];
    StepCycles& step = steps_[next_step_];
    if (!next_event_) step.first_input = now_;
    ++next_event_;
    offering_ = false;
    if (beat.last) {
      step.last_input = now_;
      next_event_ = 0;
      ++next_step_;
    }
    return beat;
  }

  CycleQueue<Beat> arrivals_, decoded_;
  int64_t next_step_ = 0, next_event_ = 0;
  bool offering_ = false, sent_ = false;
};

// hw/output.py, of which nothing is ever held up.
class Output : public CyclePart {
 public:
  explicit Output(CycleState& state) : CyclePart(state), queue_(far_ ? 4 : 2, !far_, false) {}

  bool ready() const { return held_ < (far_ ? 3 : 2); }
  bool busy() const { return held_ || last_; }
  int64_t done() const { return done_; }  // steps
  int64_t last_taken() const { return last_taken_; }

  // The beat with `last`, if there is one, is taken in this cycle.
  void take() {
    if (!last_) return;
    steps_[done_++].output = last_taken_ = now_;
    last_ = false;
  }
  // A value, or the end of a step, comes.
  void cycle(bool valid, bool end, int64_t step) {
    const bool leaves = queue_.valid(), seen = far_ ? left_ : leaves;
    if (leaves) {
      steps_[queue_.front().step].outputs += !queue_.front().end;
      last_ = queue_.front().end;
    }
    left_ = leaves;
    held_ += valid - seen;
    const Item item{valid, end, step}, enters = far_ ? coming_ : item;
    coming_ = item;
    queue_.step(enters.valid, enters, leaves);
  }

 private:
  struct Item {
    bool valid, end;
    int64_t step;
  };
  CycleQueue<Item> queue_;
  Item coming_{};
  int64_t held_ = 0, done_ = 0, last_taken_ = 0;
  bool left_ = false, last_ = false;
};

// hw/broadcast.py
class Broadcaster : public CyclePart {
 public:
  Broadcaster(CycleState& state, Lanes& lanes, Fetch& fetch, Cells& cells)
      : CyclePart(state), lanes_(lanes), fetch_(fetch), cells_(cells), input_(state), output_(state),
        all_cells_(cells.count() == 64 ? ~uint64_t{0} : bit(cells.count()) - 1) {}

  const Output& output() const { return output_; }
  // What was broadcast in the cycle before.
  bool valid() const { return valid_; }
  const Event& event() const { return event_; }

  void cycle() {
    const bool input_valid = input_.valid(), input_goes = inputs_turn_ && input_goes_ && input_valid;
    const Event input = input_valid ? input_.event() : Event{};
    const bool input_end = input_goes && input.kind == kInputEnd;
    const Chosen chosen = choose();
    const bool ends_step = tag_readout_ || tag_output_, all_delivered = delivered_ == all_cells_;
    const bool ends = all_delivered && !inputs_turn_ && (tag_readout_ || room_lanes_) && (!ends_step || room_output_);
    const bool will_turn = input_valid && cells_.input_ready() && !input_end && !input_ended_[0] &&
                           !input_ended_[1] && !chosen.waiting && (!all_delivered || ends);
    const bool input_taken = input_goes_, layer_end = ends && !tag_readout_;

    Sent sent{};
    if (chosen.sends) {
      sent = send(cells_.result(static_cast<unsigned>(__builtin_ctzll(chosen.sends))));
    } else if (inputs_turn_) {
      sent = {input_goes, false, false, 0, input};
    } else if (ends) {
      sent = {!tag_readout_, ends_step, ends_step, tag_step_, {kLayerEnd, false, 0, 0, 0, tag_step_}};
    }
    each(chosen.goes, [this](unsigned unit) { deliver(unit, cells_.result(unit)); });
    if (ends) delivered_ = 0;
    valid_ = sent.valid;
    event_ = sent.event;
    if (valid_) count(event_);

    // To the next cycle.
    const bool lanes_ready = p_.streamed ? fetch_.ready() : lanes_.all_ready();
    input_ended_[1] = input_ended_[0];
    input_ended_[0] = input_end;
    inputs_turn_ = will_turn;
    input_goes_ = will_turn && lanes_ready;
    room_lanes_ = lanes_ready;
    room_output_ = output_.ready();
    input_.cycle(input_taken, output_.done());
    output_.take();
    output_.cycle(sent.output, sent.output_end, sent.step);
    cells_.cycle(chosen.goes, input_end, layer_end);
  }

 private:
  struct Chosen {
    uint64_t waiting, goes, sends;  // cell units with a result that carries something; whose is taken; whose is sent
  };
  struct Sent {
    bool valid, output, output_end;
    int64_t step;
    Event event;
  };

  Chosen choose() {
    uint64_t waiting = 0, valid = 0, may_go = 0;
    for (unsigned unit = 0; unit < cells_.count(); ++unit) {
      if (!cells_.has_result(unit)) continue;
      valid |= bit(unit);
      const Result& result = cells_.result(unit);
      if (result.to_lanes || result.to_output) waiting |= bit(unit);
    }
    waiting &= ~delivered_;
    const uint64_t first = waiting & (~waiting + 1);
    each(valid & ~delivered_, [&](unsigned unit) {
      const Result& result = cells_.result(unit);
      const bool is_empty = !result.to_lanes && !result.to_output;
      const bool turn = (far_ ? turns_ : first) & bit(unit);
      if ((is_empty || turn) && (!result.to_lanes || room_lanes_) && (!result.to_output || room_output_))
        may_go |= bit(unit);
    });
    if (!far_) {
      const uint64_t goes = inputs_turn_ ? 0 : may_go;
      return {waiting, goes, waiting & goes};
    }
    // It is decided a cycle before.
    const Chosen chosen{waiting, goes_ & valid, sends_};
    sends_ = waiting & may_go & ~goes_;
    goes_ = may_go & ~goes_;
    const uint64_t others = waiting & ~turns_;
    if (others) turns_ = others & (~others + 1);
    return chosen;
  }

  Sent send(const Result& result) const {
    const uint8_t bank = ~(result.step ^ result.layer) & 1;
    return {result.to_lanes, result.to_output, false, result.step,
            {kEvent, a_.ending[result.step] != 0, bank, static_cast<uint8_t>(result.layer + 1), result.source,
             result.step}};
  }

  void deliver(unsigned unit, const Result& result) {
    delivered_ = result.final ? delivered_ | bit(unit) : delivered_ & ~bit(unit);
    const bool is_last = result.layer + 1 == p_.layers;
    tag_readout_ = p_.readout && is_last;
    tag_output_ = !p_.readout && is_last;
    tag_step_ = result.step;
  }

  void count(const Event& event) {
    if (event.kind == kEvent) {
      ++t_.events;
      if (p_.streamed) steps_[event.step].beats += n_.count[event.source];
    }
    if (!p_.streamed) lanes_.spread(event);
  }

  Lanes& lanes_;
  Fetch& fetch_;
  Cells& cells_;
  Input input_;
  Output output_;
  const uint64_t all_cells_;
  uint64_t delivered_ = 0, goes_ = 0, sends_ = 0, turns_ = 1;
  bool inputs_turn_ = false, input_goes_ = false, input_ended_[2] = {}, room_lanes_ = false, room_output_ = false;
  bool tag_readout_ = false, tag_output_ = false, valid_ = false;
  int64_t tag_step_ = 0;  // of the job that is delivered
  Event event_{};
};

}  // namespace egret

#endif  // EGRET_CYCLES_BROADCAST_H
