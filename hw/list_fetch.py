"""Find the list of each event in external memory, and ask for it (``docs/beats.md``).

An event is looked up and its run of beats asked for while those before it are still being read; what it brought waits
in a queue until its beats come, in the same order.
"""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.axi4_read import ReadRun
from hw.config import CoreConfig
from hw.event import Event, EventKind, ListPart
from hw.queue import Queue
from hw.vendor.generic import MEMORY_LATENCY, MULTIPLIER_LATENCY, Multiplier, PipelinedMemory


class ListFormat(data.StructLayout):
    """What a network says of its lists; stays while it runs.

    inputs : sources that are inputs
    dense_inputs : their lists all have ``input_beats``, one after the other from the start of the window
    dense_readout : what goes to rows from ``readout_base`` on has no gaps
    row_count : rows of a lane that there are
    boundary : for each group of sources, the first row that its lists go forward to
    """

    def __init__(self, config: CoreConfig, count_bits: int):
        super().__init__({
            "inputs": config.source_bits + 1, "dense_inputs": 1, "input_beats": count_bits, "dense_readout": 1,
            "readout_base": config.row_bits + 1, "row_count": config.row_bits + 1,
            "boundary": data.ArrayLayout(config.row_bits + 1, config.groups + 1),
        })  # fmt: skip


class ListContext(data.StructLayout):
    """What an event brought, while its beats are on their way; of a marker only ``kind`` counts."""

    def __init__(self, config: CoreConfig):
        super().__init__({
            "kind": EventKind, "part": ListPart, "value": signed(config.value_bits), "bank": 1,
            "group": config.group_bits, "is_input": 1,
        })  # fmt: skip


class ListFetch(wiring.Component):
    """Look events up, and ask for their lists.

    An event in some ``CYCLES``, ahead of its beats; order kept. An event without a list ends here.

    Parameters
    ----------
    config : CoreConfig
    address_bits, count_bits : int
        Of a list: its address, and its length, in beats.
    slack : int
        Events that may still come when ``ready`` is decided.

    Members
    -------
    event : In(Event), valid : In(1), ready : Out(1)
        Broadcast events; whoever sends holds back while ``ready`` is low.
    format : In(ListFormat)
    write_en, write_addr, write_data : In
        Loading the directory: the run of each list; of dense inputs it has none.
    runs : Out(stream.Signature(ReadRun))
    contexts : Out(stream.Signature(ListContext))
        Of each run, and of each marker, in the order of both.
    """

    #: From an event's turn to that of the next one.
    CYCLES = 2 + max(MEMORY_LATENCY, MULTIPLIER_LATENCY)

    def __init__(self, config: CoreConfig, *, address_bits: int, count_bits: int, slack: int = 4):
        self._config, self._address_bits, self._count_bits, self._slack = config, address_bits, count_bits, slack
        run = ReadRun(address_bits, count_bits)
        super().__init__({
            "event": In(Event(config)), "valid": In(1), "ready": Out(1), "format": In(ListFormat(config, count_bits)),
            "write_en": In(1), "write_addr": In(config.source_bits), "write_data": In(run),
            "runs": Out(stream.Signature(run)),
            "contexts": Out(stream.Signature(ListContext(config))),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, run = self._config, ReadRun(self._address_bits, self._count_bits)
        m.submodules.events = events = Queue(shape=Event(config), depth=config.queue_depth, guarded=False)
        m.submodules.directory = directory = PipelinedMemory(shape=run, depth=config.sources)
        m.submodules.multiplier = multiplier = Multiplier(
            signed(config.source_bits + 1), signed(self._count_bits + 1)
        )  # fmt: skip
        waiting = events.o.payload
        m.d.comb += [
            events.i.payload.eq(self.event),
            events.i.valid.eq(self.valid),
            directory.read_addr.eq(waiting.source),
            directory.write_en.eq(self.write_en),
            directory.write_addr.eq(self.write_addr),
            directory.write_data.eq(self.write_data),
            multiplier.a.eq(waiting.source),
            multiplier.b.eq(self.format.input_beats),
        ]
        places = config.queue_depth + 1
        free = Signal(range(places + 1), init=places)
        m.d.sync += [
            free.eq(free + (events.o.valid & events.o.ready) - self.valid),
            self.ready.eq(free > self._slack),
        ]

        # The event stands at the queue's end until it is looked up.
        is_input, is_event, uniform = Signal(), Signal(), Signal()
        context, found = self.contexts.payload, self.runs.payload
        m.d.comb += [
            is_input.eq(waiting.source < self.format.inputs),
            is_event.eq(waiting.kind == EventKind.EVENT),
            uniform.eq(is_input & self.format.dense_inputs),
            found.address.eq(Mux(uniform, multiplier.product[: self._address_bits], directory.read_data.address)),
            found.beats.eq(Mux(uniform, self.format.input_beats, directory.read_data.beats)),
            *(context[name].eq(waiting[name]) for name in ("kind", "part", "value", "bank", "group")),
            context.is_input.eq(is_input),
        ]
        wait = Signal(range(self.CYCLES))
        asked, told = Signal(), Signal()  # the run, or the context, was taken already
        run_done, context_done, nothing, looked_up = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            looked_up.eq(events.o.valid & (wait == self.CYCLES - 2)),
            nothing.eq(is_event & (found.beats == 0)),
            self.runs.valid.eq(looked_up & is_event & ~nothing & ~asked),
            self.contexts.valid.eq(looked_up & ~nothing & ~told),
            run_done.eq(~is_event | nothing | asked | self.runs.ready),
            context_done.eq(nothing | told | self.contexts.ready),
            events.o.ready.eq(looked_up & run_done & context_done),
        ]
        with m.If(events.o.valid & ~looked_up):
            m.d.sync += wait.eq(wait + 1)
        with m.If(looked_up):
            m.d.sync += [asked.eq(asked | self.runs.ready), told.eq(told | self.contexts.ready)]
        with m.If(events.o.ready):
            m.d.sync += [wait.eq(0), asked.eq(0), told.eq(0)]
        return m
