"""The core: lanes, cell units, broadcaster, sequencer, loader, counters, connected in the order in which data flows."""

from amaranth import Cat, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.broadcast import Broadcaster
from hw.cell_group import CellGroup, StateWord
from hw.compact.core import compact_core
from hw.config import CoreConfig
from hw.counters import Counters, StepRecord, counter_map
from hw.delay import delay
from hw.errors import Error
from hw.event import INDEX_BITS, InputBeat, OutputBeat, UnitUpdate
from hw.hops import carry, join, spread
from hw.input_decoder import InputDecoder
from hw.lane import Lane
from hw.load_bus import LaneWrite, LoadKind
from hw.loader import Loader
from hw.output import Output, OutputQueue
from hw.progress import Progress
from hw.sequencer import Sequencer
from hw.tally import COUNTER_BITS
from hw.vendor.generic import Relay


class Core(wiring.Component):
    """Run a recurrent network on streams of events.

    Load a memory image (docs/memory-image.md) through ``load``, then send steps to ``i``: one beat an event, ``last``
    on the last beat of a step, ``user`` with it on the last step of a sequence, after which the state is 0 again. A
    silent step is one null beat (index all ones) with ``last``. The output has the same form.

    Members
    -------
    load : In(stream.Signature(32))
        Words of a memory image; one a cycle (of a compact core one every other cycle), never stalls. While an image is
        being loaded the rest of the core is reset. Input waits until the words before it have come through.
    i : In(stream.Signature(InputBeat))
        An index with its top bit set restores the y of that source (see ``RESTORE_FLAG``), between steps only.
    o : Out(stream.Signature(OutputBeat))
        Logits of the readout, or events of the last layer.
    reset : In(1)
        Forget the step under way and all state and errors; keep the network.
    argmax_only : In(1)
        Send only the largest value of a step.
    loaded, idle : Out(1)
        A network is there; nothing is under way. The counts of the last step follow within 9 cycles of ``idle``.
    best_index, best_value, best_valid : Out
        The largest output of the last complete step.
    error : Out(Error), detail : Out(32), clear_error : In(1), extra_error : In(Error), extra_detail : In(32)
        The first error since it was cleared; ``extra_error`` takes those that the bus finds.
    cell_select, unit_select : In, state : Out(StateWord)
        Read of a unit's state while the core is idle, latency 4, with ``config.distributed_cells`` 5.
    counter_select : In, counter : Out(48), clear_counters : In(1)
        See :class:`hw.counters.Counters`. All 0 without ``config.counters``.
    step : Out(StepRecord)
        Counts of each step as it completes, for a simulation.
    updates : Out(UnitUpdate).array(cell_units)
        Every unit's update, for a simulation.
    """

    def __init__(self, config: CoreConfig):
        self.config = config
        super().__init__({
            "load": In(stream.Signature(32)),
            "i": In(stream.Signature(InputBeat(config))),
            "o": Out(stream.Signature(OutputBeat())),
            "reset": In(1), "argmax_only": In(1), "loaded": Out(1), "idle": Out(1),
            "best_index": Out(INDEX_BITS), "best_value": Out(signed(32)), "best_valid": Out(1),
            "error": Out(Error), "detail": Out(32), "clear_error": In(1), "extra_error": In(Error),
            "extra_detail": In(32),
            "cell_select": In(range(max(2, config.cell_units))), "unit_select": In(config.unit_bits),
            "state": Out(StateWord()),
            "counter_select": In(range(len(counter_map(config)))), "counter": Out(COUNTER_BITS),
            "clear_counters": In(1),
            "step": Out(StepRecord(config)), "updates": Out(UnitUpdate(config)).array(config.cell_units),
        })  # fmt: skip

    def elaborate(self, platform):
        if self.config.compact:
            return compact_core(self)
        m = Module()
        config = self.config
        m.submodules.loader = loader = Loader(config)
        hops = config.hops

        # Everything but loader and decoder is reset without a network, too; the last hop is each part's own register. A
        # reset lasts a cycle longer than the buses to the lanes, so that nothing of what they hold comes through, and
        # until it is over nothing is taken or sent.
        resets = [self.reset]
        for cycle in range(1, 2 * hops + 2):
            resets.append(delay(m, resets[-1], 1, f"resets_{cycle}", init=0))
        stops = [Signal(name="stopped", init=1)]
        for cycle in range(1, hops + 1):
            stops.append(delay(m, stops[-1], 1, f"stopped_{cycle}", init=1))
        m.d.sync += stops[0].eq(Cat(resets[: hops + 1]).any() | ~loader.loaded)
        unsettled = Signal()
        m.d.sync += unsettled.eq(Cat(resets).any())

        def stoppable(name, component, stopped=stops[hops - 1]):
            m.submodules[f"{name}_stop"] = stop = Relay(1)
            m.submodules[name] = part = ResetInserter(stop.o)(component)
            m.d.comb += stop.i.eq(stopped)
            return part

        m.submodules.decoder = decoder = ResetInserter(self.reset | unsettled)(InputDecoder(config))
        broadcaster = stoppable("broadcaster", Broadcaster(config))
        sequencer = stoppable("sequencer", Sequencer(config))
        output_queue = stoppable("output_queue", OutputQueue(config))
        output = stoppable("output", Output(config))
        lanes = [
            stoppable(f"lane_{number}", Lane(config), stopped)
            for number, stopped in enumerate(spread(m, "stop", stops[0], config.lanes, hops))
        ]
        groups = [stoppable(f"cell_{number}", CellGroup(config, number)) for number in range(config.cell_units)]

        # Loading.
        wiring.connect(m, wiring.flipped(self.load), loader.i)
        idle = Signal()
        m.d.comb += [loader.restart.eq(self.reset), loader.idle.eq(idle)]
        m.d.sync += [idle.eq(self.idle & loader.loaded), self.loaded.eq(loader.loaded & ~Cat(stops).any())]
        for index, group in enumerate(groups):
            m.d.comb += group.load.eq(carry(m, f"cell_{index}_load", loader.write, hops))
        write, sent = loader.write, Signal(LaneWrite(config), reset_less=True)
        m.d.sync += [
            sent.directory.eq(write.valid & (write.kind == LoadKind.DIRECTORY)),
            sent.entry.eq(write.valid & (write.kind == LoadKind.ENTRY)),
            sent.select.eq(write.select),
            sent.address.eq(write.address),
            sent.data.eq(write.data),
        ]
        for number, (lane, here) in enumerate(zip(lanes, spread(m, "load", sent, config.lanes, hops), strict=True)):
            selected = here.select == number
            m.d.comb += [
                lane.load.eq(here),
                lane.load.directory.eq(selected & here.directory),
                lane.load.entry.eq(selected & here.entry),
            ]
        m.d.comb += [part.network.eq(loader.network) for part in (decoder, sequencer)]
        m.d.comb += [group.layers.eq(loader.network.layers) for group in groups]

        # Input and results to the lanes. What comes behind an image waits until its last word has come through.
        words = [self.load.valid]
        for cycle in range(Loader.LATENCY + hops + 2):
            words.append(delay(m, words[-1], 1, f"words_{cycle}", init=0))
        waits = Signal()
        m.d.sync += waits.eq(Cat(words).any())
        m.d.comb += [
            decoder.i.payload.eq(self.i.payload),
            decoder.i.valid.eq(self.i.valid & ~unsettled & ~waits),
            self.i.ready.eq(decoder.i.ready & ~unsettled & ~waits),
        ]
        wiring.connect(m, decoder.o, broadcaster.input)
        for index, group in enumerate(groups):
            wiring.connect(m, group.results, broadcaster.results[index])
        events = spread(m, "event", broadcaster.event, config.lanes, hops)
        valids = spread(m, "valid", broadcaster.valid, config.lanes, hops)
        for lane, event, valid in zip(lanes, events, valids, strict=True):
            m.d.comb += [lane.event.eq(event), lane.valid.eq(valid)]
        # Nobody needs to know of an end at once, but of all of them at the same time.
        input_end, input_ending, layer_end, step_end = (
            delay(m, end, 1, name, init=0)
            for name, end in (
                ("input_end", broadcaster.input_end),
                ("input_ending", decoder.ending),
                ("layer_end", broadcaster.layer_end),
                ("step_end", broadcaster.output_valid & broadcaster.output.end),
            )
        )
        m.d.comb += [
            decoder.loaded.eq(delay(m, self.loaded, 1, "loaded_here", init=0)),
            decoder.bank.eq(sequencer.input_bank),
            decoder.between_steps.eq(sequencer.between_steps),
            broadcaster.input_allowed.eq(sequencer.input_ready),
            broadcaster.lanes_ready.eq(join(m, "ready", [lane.ready for lane in lanes], hops)),
            sequencer.input_end.eq(input_end),
            sequencer.input_ending.eq(input_ending),
            sequencer.layer_end.eq(layer_end),
            sequencer.state_written.eq(loader.state_written),
        ]

        # Lanes and cell units.
        def passed(whom):
            return (
                [
                    carry(m, f"lane_{number}_{name}_{whom}", getattr(lane, name), hops)
                    for number, lane in enumerate(lanes)
                ]
                for name in ("inputs_passed", "layers_passed")
            )

        inputs_passed, layers_passed = passed("to_cell")
        idles = [delay(m, group.idle, hops > 1, f"cell_{number}_idle") for number, group in enumerate(groups)]
        m.d.sync += sequencer.cells_idle.eq(Cat(idles).all())
        starts = delay(m, sequencer.start, hops > 1, "start", init=0)
        job = delay(m, sequencer.job, hops > 1, "job")
        for index, group in enumerate(groups):
            m.d.comb += [
                group.start.eq(starts),
                group.job.eq(job),
                group.sweep.eq(carry(m, f"cell_{index}_sweep", sequencer.sweep, hops)),
                group.state_addr.eq(self.unit_select),
                self.updates[index].eq(group.update),
            ]
            for place in range(config.lanes_per_cell):
                number = index * config.lanes_per_cell + place
                lane = lanes[number]
                m.d.comb += [
                    group.inputs_passed[place].eq(inputs_passed[number]),
                    group.layers_passed[place].eq(layers_passed[number]),
                    group.sums[place].eq(lane.sums),
                    lane.drain.eq(carry(m, f"lane_{number}_drain", group.drain[place], hops)),
                ]
        with m.Switch(self.cell_select):
            for index, group in enumerate(groups):
                with m.Case(index):
                    m.d.sync += self.state.eq(group.state)

        # Output.
        m.d.comb += [
            output_queue.i.eq(broadcaster.output),
            output_queue.valid.eq(broadcaster.output_valid),
            broadcaster.output_ready.eq(output_queue.ready),
        ]
        wiring.connect(m, output_queue.o, output.i)
        base = Signal.like(output.base, reset_less=True)  # the network stays
        m.d.sync += base.eq(Mux(loader.network.readout, 0, loader.network.output_base))
        m.d.comb += [
            self.o.payload.eq(output.o.payload),
            self.o.valid.eq(output.o.valid & ~unsettled),
            output.o.ready.eq(self.o.ready),  # what is lost is reset anyway
            output.base.eq(base),
            output.argmax_only.eq(self.argmax_only),
            self.best_index.eq(output.best_index),
            self.best_value.eq(output.best_value),
            self.best_valid.eq(output.best_valid),
        ]

        # Errors: the first is kept. They come from afar, so each passes a register first.
        clears = self.reset | self.clear_error
        told = [
            (
                delay(m, Mux(clears, Error.NONE, error), 1, f"{name}_error", init=0),
                delay(m, detail, 1, f"{name}_detail"),
            )
            for name, error, detail in (
                ("extra", self.extra_error, self.extra_detail),
                ("decoder", decoder.error, decoder.detail),
                ("loader", loader.error, loader.detail),
            )
        ]
        now, now_detail = Signal(Error), Signal(32, reset_less=True)
        m.d.sync += now.eq(Error.NONE)
        for error, detail in told:
            with m.If(error != Error.NONE):
                m.d.sync += [now.eq(error), now_detail.eq(detail)]
        with m.If((self.error == Error.NONE) & (now != Error.NONE)):
            m.d.sync += [self.error.eq(now), self.detail.eq(now_detail)]
        with m.If(clears):
            m.d.sync += [now.eq(Error.NONE), self.error.eq(Error.NONE)]

        # Progress, and what is counted.
        progress = stoppable("progress", Progress(config))
        for lane, inputs, layers in zip(progress.lanes, *passed("to_progress"), strict=True):
            m.d.comb += [lane.inputs.eq(inputs), lane.layers.eq(layers)]
        m.d.comb += [
            progress.egru_count.eq(loader.network.layer_count - loader.network.readout),
            progress.input_end.eq(input_end),
            progress.layer_end.eq(layer_end),
            progress.step_end.eq(step_end),
            self.idle.eq(
                progress.idle & sequencer.between_steps & ~input_end & output_queue.empty & output.empty & decoder.empty
            ),
        ]
        if config.counters:
            m.submodules.counters = counters = Counters(config)
            fires, blocked = (
                [
                    delay(m, getattr(group, name), 1, f"cell_{index}_{name}", init=0)
                    for index, group in enumerate(groups)
                ]
                for name in ("silent_fire", "blocked")
            )
            m.d.comb += [
                counters.stop.eq(carry(m, "counters_stop", stops[0], hops)),
                counters.event.eq(carry(m, "counters_event", broadcaster.event, hops)),
                counters.valid.eq(carry(m, "counters_valid", broadcaster.valid, hops)),
                counters.input_closed.eq(progress.input_closed),
                counters.layer_closed.eq(progress.layer_closed),
                counters.layer.eq(progress.layer),
                counters.last_layer.eq(progress.last_layer),
                counters.silent_fires.eq(sum(fires)),
                counters.broadcast_stall.eq(broadcaster.stalled),
                counters.cell_stall.eq(Cat(blocked).any()),
                counters.output_stall.eq(self.o.valid & ~self.o.ready),
                counters.clear.eq(self.clear_counters),
                counters.select.eq(self.counter_select),
                self.counter.eq(counters.count),
                self.step.eq(counters.record),
            ]
            for number, lane in enumerate(lanes):
                m.d.comb += counters.lanes[number].eq(carry(m, f"lane_{number}_activity", lane.activity, hops))
        return m
