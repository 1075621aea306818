"""The cell unit of a compact core with its memories: unit after unit, lane after lane."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.fixed import GATES
from hw.cell_group import StateWord, UnitWord
from hw.compact.cell import Cell
from hw.config import CoreConfig
from hw.event import INDEX_BITS, Drain, Job, Result, UnitUpdate
from hw.load_bus import LoadKind, LoadWrite

ID_BITS = INDEX_BITS - 1  #: of a unit's number, which shares a row with whether the unit fired


class CellGroup(wiring.Component):
    """Update the units of all lanes, one after the other, and hand on what they send.

    A job's units come row by row, and in each row lane by lane; each waits until its lane has passed the markers that
    the job names. A unit takes 38 cycles, one of the readout 7, until its result is taken. The job's last unit always
    has a result, marked ``final``.

    Members
    -------
    start : In(1), job : In(Job), idle : Out(1)
        A new job, which stays until ``idle``: all its results were taken.
    sweep : In(Drain)
        Clear a sum of every lane. Only while no job is under way.
    inputs_passed, layers_passed, sum : In, hold, drain : Out
        To each lane.
    result : Out(stream.Signature(Result))
    load : In(LoadWrite)
    state_addr : In(unit_bits), state : Out(StateWord)
        Read of a unit's state, latency 1, while no unit is being updated.
    update : Out(UnitUpdate)
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        lanes = config.lanes
        super().__init__({
            "start": In(1), "job": In(Job(config)), "idle": Out(1, init=1),
            "sweep": In(Drain(config)),
            "inputs_passed": In(2).array(lanes), "layers_passed": In(config.marker_bits).array(lanes),
            "hold": Out(lanes), "drain": Out(Drain(config)).array(lanes),
            "sum": In(signed(config.acc_bits)).array(lanes),
            "result": Out(stream.Signature(Result(config))),
            "load": In(LoadWrite(config)),
            "state_addr": In(config.unit_bits), "state": Out(StateWord()),
            "update": Out(UnitUpdate(config)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self._config
        # What the job asks for takes the sequencer some logic to know, and stays.
        job = Signal.like(self.job)
        m.d.sync += job.eq(self.job)
        tag = job.tag
        m.submodules.cell = cell = Cell(config)
        lane, row = Signal(range(max(2, config.lanes))), Signal(config.row_bits)
        rows_left = Signal(config.row_bits + 1)
        is_last_lane, is_last = Signal(), Signal()
        m.d.comb += [is_last_lane.eq(lane == config.lanes - 1), is_last.eq(is_last_lane & (rows_left == 1))]

        # A count of markers is ahead of the need if their difference, modulo the width, is not negative.
        ready = Signal()
        with m.Switch(lane):
            for number, (inputs, layers) in enumerate(zip(self.inputs_passed, self.layers_passed, strict=True)):
                with m.Case(number):
                    ahead = ~(layers - job.need_layers)[config.marker_bits - 1]
                    m.d.comb += ready.eq(ahead & (~job.first_layer | ~(inputs - job.need_inputs)[1]))

        busy, moves_on, is_event, is_logit = Signal(), Signal(), Signal(), Signal()
        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [lane.eq(0), row.eq(self.job.base), rows_left.eq(self.job.rows), self.idle.eq(0)]
                m.next = "WAIT"
            with m.State("WAIT"), m.If(ready):
                m.d.comb += cell.start.eq(1)
                m.next = "UPDATE"
            with m.State("UPDATE"):
                m.d.comb += busy.eq(1)
                with m.If(cell.done):
                    m.next = "RESULT"
            with m.State("RESULT"):
                has_result = is_event | is_logit | is_last
                m.d.comb += [
                    busy.eq(1),
                    self.result.valid.eq(has_result),
                    moves_on.eq(self.result.ready | ~has_result),
                ]
                with m.If(moves_on):
                    m.d.sync += lane.eq(lane + 1)
                    m.next = "WAIT"
                    with m.If(is_last_lane):
                        m.d.sync += [lane.eq(0), row.eq(row + 1), rows_left.eq(rows_left - 1)]
                    with m.If(is_last):
                        m.d.sync += self.idle.eq(1)
                        m.next = "IDLE"

        self._connect_lanes(m, cell, job, lane, row)
        unit = self._connect_memories(m, cell, tag, Cat(lane[: config.lane_bits], row), busy)

        m.d.comb += [
            cell.readout.eq(tag.readout),
            cell.fresh.eq(tag.fresh),
            self.update.valid.eq(cell.done & ~tag.readout & unit.present),
            self.update.source.eq(unit.id),
            self.update.h.eq(cell.h_next),
            self.update.fires.eq(cell.fires),
            self.update.y.eq(Mux(cell.fires, cell.y, 0)),
        ]
        result = self.result.payload
        m.d.comb += [
            result.to_lanes.eq(is_event),
            result.to_output.eq(is_logit | (is_event & tag.output)),
            result.tag.eq(tag),
            result.tag.final.eq(is_last),
            result.id.eq(unit.id),
            result.value.eq(Mux(tag.readout, cell.total, cell.y)),
        ]
        with m.If(cell.done):
            m.d.sync += [
                is_logit.eq(tag.readout & unit.present),
                is_event.eq(~tag.readout & cell.fires & (cell.y != 0)),
            ]
        return m

    def _connect_lanes(self, m, cell, job, lane, row):
        for number, drain in enumerate(self.drain):
            m.d.comb += [
                drain.valid.eq(self.sweep.valid | (cell.fetch & (lane == number))),
                drain.bank.eq(Mux(self.sweep.valid, self.sweep.bank, job.bank)),
                drain.row.eq(Mux(self.sweep.valid, self.sweep.row, row)),
                drain.gate.eq(Mux(self.sweep.valid, self.sweep.gate, cell.gate)),
                self.hold[number].eq(cell.hold & (lane == number)),
            ]
        with m.Switch(lane):
            for number, sum_of_lane in enumerate(self.sum):
                with m.Case(number):
                    m.d.comb += cell.sum.eq(sum_of_lane)

    def _connect_memories(self, m, cell, tag, address, busy):
        """Return what the unit at ``address`` is; while none is ``busy`` a host may read states."""
        config, load = self._config, self.load
        depth = config.rows << config.lane_bits

        def memory(name, shape, depth, **options):
            m.submodules[name] = part = Memory(shape=shape, depth=depth, init=(), attrs={"no_rw_check": 1})
            return part.read_port(), part.write_port(**options)

        bias_read, bias_write = memory("biases", signed(config.acc_bits), depth * len(GATES))
        is_bias = (load.kind.as_value() & ~(len(GATES) - 1)) == LoadKind.BIAS.value
        m.d.comb += [
            bias_read.addr.eq(Cat(cell.gate, address)),
            cell.bias.eq(bias_read.data),
            bias_write.en.eq(load.valid & is_bias),
            bias_write.addr.eq(Cat(load.kind.as_value()[: len(cell.gate)], load.address)),
            bias_write.data.eq(load.data),
        ]

        # Two shifts a row.
        shift_read, shift_write = memory("shifts", data.ArrayLayout(8, 2), 2 << config.layer_bits)
        upper = Signal()
        m.d.sync += upper.eq(cell.shift_gate[0])
        m.d.comb += [
            shift_read.addr.eq(Cat(cell.shift_gate[1], tag.layer)),
            cell.shift.eq(shift_read.data[upper]),
            shift_write.en.eq(load.valid & (load.kind == LoadKind.LAYER)),
            shift_write.addr.eq(load.address),
            shift_write.data.eq(load.data),
        ]

        is_unit, is_state = (load.valid & (load.kind == kind) for kind in (LoadKind.UNIT, LoadKind.STATE))
        word = data.View(UnitWord(), load.data)
        threshold_read, threshold_write = memory("thresholds", 16, depth)
        m.d.comb += [
            threshold_read.addr.eq(address),
            cell.threshold.eq(threshold_read.data),
            threshold_write.en.eq(is_unit),
            threshold_write.addr.eq(load.address),
            threshold_write.data.eq(Cat(word.threshold, word.present)),
        ]

        # The state, and in a bit of the units' numbers whether the unit fired.
        updates, read_addr = Signal(), Signal(config.unit_bits)
        m.d.comb += [updates.eq(cell.done & ~tag.readout), read_addr.eq(Mux(busy, address, self.state_addr))]
        state_read, state_write = memory("states", signed(16), depth)
        id_read, id_write = memory("ids", 16, depth, granularity=1)
        writes = updates | is_state
        m.d.comb += [
            state_read.addr.eq(read_addr),
            state_write.en.eq(writes),
            state_write.addr.eq(Mux(updates, address, load.address)),
            state_write.data.eq(Mux(updates, cell.h_next, load.data[:16].as_signed())),
            id_read.addr.eq(read_addr),
            id_write.en.eq(Cat(is_unit.replicate(ID_BITS), writes)),
            id_write.addr.eq(state_write.addr),
            id_write.data.eq(Cat(word.id[:ID_BITS], Mux(updates, cell.fires, load.data[16]))),
            cell.h.eq(state_read.data),
            self.state.h.eq(state_read.data),
            self.state.fires.eq(id_read.data[ID_BITS]),
        ]

        unit = Signal(UnitWord())
        m.d.comb += [
            unit.threshold.eq(threshold_read.data),
            unit.present.eq(threshold_read.data[-1]),
            unit.id.eq(id_read.data[:ID_BITS]),
        ]
        return unit
