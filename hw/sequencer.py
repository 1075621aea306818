"""The sequencer: which layer of which step is updated when, and how far the input may run ahead."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.delay import delay
from hw.event import GATE_BITS, Drain, Job
from hw.load_bus import NetworkDescription


class Sequencer(wiring.Component):
    """Walk the layers of each step in one fixed order and hand them to the cell units as jobs.

    A job starts as soon as all units of the one before have been granted; what it needs of each lane travels with it,
    so there is no barrier. After reset every sum is cleared first, one row a cycle (one sum, in a compact core).

    Members
    -------
    network : In(NetworkDescription)
    start : Out(1), job : Out(Job)
        A new job; ``job`` stays until every cell unit is idle.
    cells_idle : In(1)
        Every cell unit has granted all units of the job; does not count for ``job_latency`` cycles from its start on.
    sweep : Out(Drain)
        After reset: rows to clear in every lane.
    input_end : In(1), input_ending : In(1)
        The end of a step's input was broadcast, and whether that step ends a sequence.
    layer_end : In(1)
        The end of a layer was broadcast.
    input_ready : Out(1)
        Events of the next step's input may be broadcast: the last layer's end of the step before the last was, so
        every sum that they may add to has been read and cleared, and no lane sees more than two steps at once. Seen two
        cycles after an end of input.
    input_bank : Out(1)
        Bank of layer 0 at the step whose input comes next.
    between_steps : Out(1)
        Every unit of the steps whose input has ended has been granted; told a cycle late.
    state_written : In(1)
        The next step starts from the states in memory rather than from 0.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        #: Cycles until cell units that a job was given to are seen to be busy: it passes a register if they are far,
        #: the relay of each, and sets its scheduler to work, and a register follows that joins them all, behind one of
        #: each, if they are far.
        self.job_latency = 3 + 2 * (config.hops > 1)
        super().__init__({
            "network": In(NetworkDescription(config)),
            "start": Out(1), "job": Out(Job(config)), "cells_idle": In(1), "sweep": Out(Drain(config)),
            "input_end": In(1), "input_ending": In(1), "layer_end": In(1), "input_ready": Out(1), "input_bank": Out(1),
            "between_steps": Out(1, init=1), "state_written": In(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, network = self._config, self.network
        layer = Signal(config.layer_bits)
        step = Signal(2)  # of the job, modulo 4
        input_step = Signal(2)  # whose input comes next
        layers_given = Signal(config.marker_bits)  # layers given to the cell units that end with a marker, in all
        layers_ended = Signal(config.layer_bits)  # ends of layers broadcast in the oldest step
        steps_ended = Signal(2)
        endings = Signal(2)  # for each parity of step: it ends a sequence
        ending = Signal()  # the same for the step that is being updated, kept beyond layer 0
        fresh = Signal(init=1)
        ahead = Signal(2)

        m.d.comb += [self.input_bank.eq(input_step[0]), ahead.eq(input_step - steps_ended)]
        m.d.sync += self.input_ready.eq(~self.sweep.valid & (ahead <= 1))
        with m.If(self.input_end):
            m.d.sync += [input_step.eq(input_step + 1), endings.bit_select(input_step[0], 1).eq(self.input_ending)]

        # What follows from the network alone is registered, and not reset: the network stays.
        last, last_egru = (Signal(config.layer_bits, name=name, reset_less=True) for name in ("last", "last_egru"))
        m.d.sync += [
            last.eq(network.layer_count - 1),
            last_egru.eq(network.layer_count - network.readout - 1),
        ]
        is_first = layer == 0
        is_last = layer == last
        is_readout = is_last & network.readout
        description = network.layers[layer]
        ends_sequence = Mux(is_first, endings.bit_select(step[0], 1), ending)
        tag = self.job.tag
        m.d.comb += [
            self.job.base.eq(description.base),
            self.job.rows.eq(description.rows),
            self.job.bank.eq(step[0] ^ layer[0]),
            self.job.first_layer.eq(is_first),
            self.job.need_inputs.eq(step + 1),
            # Layer 0 waits for its own last step only, so it may start while later layers are still being walked.
            self.job.need_layers.eq(Mux(is_first, layers_given - last_egru, layers_given)),
            tag.readout.eq(is_readout),
            tag.layer.eq(layer),
            tag.bank.eq(~self.job.bank),
            tag.fresh.eq(fresh),
            tag.output.eq(~network.readout & is_last),
            tag.ending.eq(ends_sequence),
        ]
        with m.If(self.layer_end):
            with m.If(layers_ended == last_egru):
                m.d.sync += [layers_ended.eq(0), steps_ended.eq(steps_ended + 1)]
            with m.Else():
                m.d.sync += layers_ended.eq(layers_ended + 1)

        # Of a row, all sums at once; of a compact core's, one after the other.
        gate_bits = GATE_BITS if config.compact else 0
        rows_swept = Signal(config.row_bits + 1 + gate_bits)
        started = [self.start]
        for _ in range(self.job_latency - 1):
            started.append(delay(m, started[-1], 1, f"started_{len(started)}", init=0))
        just_started = Cat(started).any()
        with m.FSM():
            with m.State("SWEEP"):
                m.d.comb += [
                    self.sweep.valid.eq(1),
                    self.sweep.bank.eq(rows_swept[gate_bits]),
                    self.sweep.row.eq(rows_swept >> gate_bits + 1),
                ]
                if config.compact:
                    m.d.comb += self.sweep.gate.eq(rows_swept)
                m.d.sync += rows_swept.eq(rows_swept + 1)
                with m.If(rows_swept == (2 * config.rows << gate_bits) - 1):
                    m.next = "START"

            with m.State("START"):
                m.d.comb += self.start.eq(1)
                m.next = "UPDATE"

            with m.State("UPDATE"), m.If(self.cells_idle & ~just_started):
                m.d.sync += layers_given.eq(layers_given + ~is_readout)
                with m.If(is_last):
                    m.d.sync += [layer.eq(0), step.eq(step + 1), fresh.eq(ends_sequence)]
                with m.Else():
                    m.d.sync += [layer.eq(layer + 1), ending.eq(ends_sequence)]
                m.next = "START"

        with m.If(self.state_written):
            m.d.sync += fresh.eq(0)
        m.d.sync += self.between_steps.eq((layer == 0) & (input_step == step) & ~self.input_end)
        return m
