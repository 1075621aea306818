"""The core: lanes, cell units, broadcaster, sequencer, loader, counters, connected in the order in which data flows."""

from typing import NamedTuple

from amaranth import Cat, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.broadcast import Broadcaster
from hw.bus.axi4_read import ADDRESS_BITS, read_signature
from hw.cell_group import CellGroup, StateWord
from hw.compact.core import compact_core
from hw.config import LIST_ADDRESS_BITS, CoreConfig
from hw.counters import Counters, counter_map
from hw.delay import delay
from hw.errors import Error
from hw.event import INDEX_BITS, InputBeat, OutputBeat, UnitUpdate
from hw.hops import carry, join, spread
from hw.input_decoder import InputDecoder
from hw.lane import Lane
from hw.list_stream import ListStream
from hw.load_bus import LaneWrite, LoadKind
from hw.loader import Loader
from hw.output import Output, OutputQueue
from hw.progress import Progress
from hw.sequencer import Sequencer
from hw.step_counts import StepRecord
from hw.stops import Stops
from hw.tally import COUNTER_BITS
from hw.vendor.generic import Relay

#: The window of external memory.
LIST_PORTS = {"list_base": In(ADDRESS_BITS), "list_size": In(LIST_ADDRESS_BITS + 1)}


class _Parts(NamedTuple):
    loader: Loader
    decoder: InputDecoder
    broadcaster: Broadcaster
    sequencer: Sequencer
    lists: ListStream | None
    lanes: list[Lane]
    groups: list[CellGroup]
    output_queue: OutputQueue
    output: Output


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
    ar, r, list_base, list_size
        With lists in external memory: its port and its window; see :class:`hw.list_stream.ListStream`.
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
            **(LIST_PORTS | read_signature(config.port_bits) if config.streamed else {}),
            "step": Out(StepRecord(config)), "updates": Out(UnitUpdate(config)).array(config.cell_units),
        })  # fmt: skip

    def elaborate(self, platform):
        if self.config.compact:
            return compact_core(self)
        m = Module()
        m.submodules.loader = loader = Loader(self.config)
        stops = Stops(m, self.config.hops, self.reset, loader)
        parts = self._parts(m, stops, loader)
        self._connect_loading(m, stops, parts)
        ends = self._connect_events(m, stops, parts)
        self._connect_cells(m, parts)
        self._connect_output(m, stops, parts)
        self._connect_errors(m, stops, parts)
        self._connect_counts(m, stops, parts, ends)
        return m

    def _parts(self, m, stops, loader):
        """Add the parts, in the order in which events pass them."""
        config = self.config
        m.submodules.decoder = decoder = ResetInserter(self.reset | stops.unsettled)(InputDecoder(config))
        broadcaster = stops.stoppable("broadcaster", Broadcaster(config))
        sequencer = stops.stoppable("sequencer", Sequencer(config))
        lists = None
        if config.streamed:
            m.submodules.lists_restart, m.submodules.lists = restart, lists = Relay(1), ListStream(config)
            m.d.comb += [restart.i.eq(stops.first), lists.restart.eq(restart.o)]
        output_queue = stops.stoppable("output_queue", OutputQueue(config))
        output = stops.stoppable("output", Output(config))
        lanes = [
            stops.stoppable(f"lane_{number}", Lane(config), stopped)
            for number, stopped in enumerate(spread(m, "stop", stops.first, config.lanes, config.hops))
        ]
        groups = [stops.stoppable(f"cell_{number}", CellGroup(config, number)) for number in range(config.cell_units)]
        return _Parts(loader, decoder, broadcaster, sequencer, lists, lanes, groups, output_queue, output)

    def _connect_loading(self, m, stops, parts):
        config, hops, loader = self.config, self.config.hops, parts.loader
        wiring.connect(m, wiring.flipped(self.load), loader.i)
        idle = Signal()
        m.d.comb += [loader.restart.eq(self.reset), loader.idle.eq(idle)]
        m.d.sync += [idle.eq(self.idle & loader.loaded), self.loaded.eq(loader.loaded & ~stops.any())]
        for index, group in enumerate(parts.groups):
            m.d.comb += group.load.eq(carry(m, f"cell_{index}_load", loader.write, hops))
        if config.streamed:
            self._load_directory(m, parts)
        else:
            self._load_lanes(m, parts)
        m.d.comb += [part.network.eq(loader.network) for part in (parts.decoder, parts.sequencer)]
        m.d.comb += [group.layers.eq(loader.network.layers) for group in parts.groups]

    def _load_lanes(self, m, parts):
        config = self.config
        write, sent = parts.loader.write, Signal(LaneWrite(config), reset_less=True)
        m.d.sync += [
            sent.directory.eq(write.valid & (write.kind == LoadKind.DIRECTORY)),
            sent.entry.eq(write.valid & (write.kind == LoadKind.ENTRY)),
            sent.select.eq(write.select),
            sent.address.eq(write.address),
            sent.data.eq(write.data),
        ]
        heres = spread(m, "load", sent, config.lanes, config.hops)
        for number, (lane, here) in enumerate(zip(parts.lanes, heres, strict=True)):
            selected = here.select == number
            m.d.comb += [
                lane.load.eq(here),
                lane.load.directory.eq(selected & here.directory),
                lane.load.entry.eq(selected & here.entry),
            ]

    def _load_directory(self, m, parts):
        write, lists = parts.loader.write, parts.lists
        m.d.sync += [
            lists.write_en.eq(write.valid & (write.kind == LoadKind.DIRECTORY)),
            lists.write_addr.eq(write.address),
            lists.write_data.eq(write.data),
        ]
        m.d.comb += lists.network.eq(parts.loader.network)

    def _connect_events(self, m, stops, parts):
        """Connect input and results to the lanes; return the ends of input, layer and step."""
        config, hops = self.config, self.config.hops
        decoder, broadcaster, sequencer = parts.decoder, parts.broadcaster, parts.sequencer
        # What comes behind an image waits until its last word has come through.
        words = [self.load.valid]
        for cycle in range(Loader.LATENCY + hops + 2):
            words.append(delay(m, words[-1], 1, f"words_{cycle}", init=0))
        waits = Signal()
        m.d.sync += waits.eq(Cat(words).any())
        m.d.comb += [
            decoder.i.payload.eq(self.i.payload),
            decoder.i.valid.eq(self.i.valid & ~stops.unsettled & ~waits),
            self.i.ready.eq(decoder.i.ready & ~stops.unsettled & ~waits),
        ]
        wiring.connect(m, decoder.o, broadcaster.input)
        for index, group in enumerate(parts.groups):
            wiring.connect(m, group.results, broadcaster.results[index])
        if config.streamed:
            self._spread_beats(m, parts)
        else:
            self._spread_events(m, parts)
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
            broadcaster.lanes_ready.eq(
                parts.lists.ready if config.streamed else join(m, "ready", [lane.ready for lane in parts.lanes], hops)
            ),
            sequencer.input_end.eq(input_end),
            sequencer.input_ending.eq(input_ending),
            sequencer.layer_end.eq(layer_end),
            sequencer.state_written.eq(parts.loader.state_written),
        ]
        return input_end, layer_end, step_end

    def _spread_events(self, m, parts):
        """Connect events to the lanes."""
        config, broadcaster = self.config, parts.broadcaster
        events = spread(m, "event", broadcaster.event, config.lanes, config.hops)
        valids = spread(m, "valid", broadcaster.valid, config.lanes, config.hops)
        for lane, event, valid in zip(parts.lanes, events, valids, strict=True):
            m.d.comb += [lane.event.eq(event), lane.valid.eq(valid)]

    def _spread_beats(self, m, parts):
        """Connect events to whoever reads their lists, that to memory, and its beats to the lanes."""
        config, hops, broadcaster, lists = self.config, self.config.hops, parts.broadcaster, parts.lists
        wiring.connect(m, lists.ar, wiring.flipped(self.ar))
        wiring.connect(m, wiring.flipped(self.r), lists.r)
        m.d.comb += [
            lists.base.eq(self.list_base),
            lists.size.eq(self.list_size),
            lists.event.eq(broadcaster.event),
            lists.valid.eq(broadcaster.valid),
        ]
        beats = [spread(m, f"beat_{k}", beat, config.lanes, hops) for k, beat in enumerate(lists.beats)]
        for number, lane in enumerate(parts.lanes):
            to = carry(m, f"lane_{number}_to", Cat(way[number] for way in lists.to), hops)
            m.d.comb += [
                *(mine.eq(copies[number]) for mine, copies in zip(lane.beats, beats, strict=True)),
                lane.to.eq(to),
                lists.lanes_ready[number].eq(carry(m, f"lane_{number}_ready", lane.ready, hops)),
            ]

    def _connect_cells(self, m, parts):
        config, hops = self.config, self.config.hops
        sequencer, groups, lanes = parts.sequencer, parts.groups, parts.lanes
        inputs_passed, layers_passed = self._passed(m, parts, "to_cell")
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

    def _passed(self, m, parts, whom):
        """Return the ends of input, and those of layers, that each lane has passed, as they come to somebody."""
        return (
            [
                carry(m, f"lane_{number}_{name}_{whom}", getattr(lane, name), self.config.hops)
                for number, lane in enumerate(parts.lanes)
            ]
            for name in ("inputs_passed", "layers_passed")
        )

    def _connect_output(self, m, stops, parts):
        output, queue, broadcaster, network = parts.output, parts.output_queue, parts.broadcaster, parts.loader.network
        m.d.comb += [
            queue.i.eq(broadcaster.output),
            queue.valid.eq(broadcaster.output_valid),
            broadcaster.output_ready.eq(queue.ready),
        ]
        wiring.connect(m, queue.o, output.i)
        base = Signal.like(output.base, reset_less=True)  # the network stays
        m.d.sync += base.eq(Mux(network.readout, 0, network.output_base))
        m.d.comb += [
            self.o.payload.eq(output.o.payload),
            self.o.valid.eq(output.o.valid & ~stops.unsettled),
            output.o.ready.eq(self.o.ready),  # what is lost is reset anyway
            output.base.eq(base),
            output.argmax_only.eq(self.argmax_only),
            self.best_index.eq(output.best_index),
            self.best_value.eq(output.best_value),
            self.best_valid.eq(output.best_valid),
        ]

    def _connect_errors(self, m, stops, parts):
        # The first is kept. They come from afar, so each passes a register first.
        clears = self.reset | self.clear_error
        told = [
            (
                delay(m, Mux(clears, Error.NONE, error), 1, f"{name}_error", init=0),
                delay(m, detail, 1, f"{name}_detail"),
            )
            for name, error, detail in (
                ("extra", self.extra_error, self.extra_detail),
                ("decoder", parts.decoder.error, parts.decoder.detail),
                ("loader", parts.loader.error, parts.loader.detail),
                *self._list_errors(stops, parts),
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

    def _list_errors(self, stops, parts):
        """Return errors of external memory: they last until a reset, which clears them, has come through."""
        if not self.config.streamed:
            return []
        return [("lists", Mux(stops.unsettled, Error.NONE, parts.lists.error), parts.lists.detail)]

    def _connect_counts(self, m, stops, parts, ends):
        """Connect progress, and what is counted."""
        config, loader, broadcaster = self.config, parts.loader, parts.broadcaster
        input_end, layer_end, step_end = ends
        progress = stops.stoppable("progress", Progress(config))
        for lane, inputs, layers in zip(progress.lanes, *self._passed(m, parts, "to_progress"), strict=True):
            m.d.comb += [lane.inputs.eq(inputs), lane.layers.eq(layers)]
        m.d.comb += [
            progress.egru_count.eq(loader.network.layer_count - loader.network.readout),
            progress.input_end.eq(input_end),
            progress.layer_end.eq(layer_end),
            progress.step_end.eq(step_end),
            self.idle.eq(
                progress.idle
                & parts.sequencer.between_steps
                & ~input_end
                & parts.output_queue.empty
                & parts.output.empty
                & parts.decoder.empty
            ),
        ]
        if config.counters:
            m.submodules.counters = counters = Counters(config)
            fires, blocked = (
                [
                    delay(m, getattr(group, name), 1, f"cell_{index}_{name}", init=0)
                    for index, group in enumerate(parts.groups)
                ]
                for name in ("silent_fire", "blocked")
            )
            m.d.comb += [
                counters.stop.eq(carry(m, "counters_stop", stops.first, config.hops)),
                counters.event.eq(carry(m, "counters_event", broadcaster.event, config.hops)),
                counters.valid.eq(carry(m, "counters_valid", broadcaster.valid, config.hops)),
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
            for number, lane in enumerate(parts.lanes):
                m.d.comb += counters.lanes[number].eq(carry(m, f"lane_{number}_activity", lane.activity, config.hops))
