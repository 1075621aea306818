"""Find the list of each event in external memory, and ask for it (``docs/beats.md``).

An event is looked up and its run of beats asked for while those before it are still being read; what it brought waits
in a queue until its beats come, in the same order.
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.axi4_read import ReadRun
from hw.config import LIST_ADDRESS_BITS, LIST_COUNT_BITS, CoreConfig
from hw.event import Event, EventKind, ListPart
from hw.queue import Queue
from hw.vendor.generic import MEMORY_LATENCY, MULTIPLIER_LATENCY, Multiplier, PipelinedMemory


class ListFormat(data.StructLayout):
    """What a network says of its lists; stays while it runs.

    inputs : sources that are inputs
    dense_inputs : their lists all have ``input_beats``, one after the other from the start of the window
    dense_readout : what goes to rows from ``readout_base`` on has no gaps
    row_count : rows of a lane that there are
    first_unit : of each layer but the first; all ones where there is none
    boundary : for the units of each layer, the first row that their lists go forward to
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "inputs": config.source_bits + 1, "dense_inputs": 1, "input_beats": LIST_COUNT_BITS, "dense_readout": 1,
            "readout_base": config.row_bits + 1, "row_count": config.row_bits + 1,
            "first_unit": data.ArrayLayout(config.source_bits + 1, config.layers - 1),
            "boundary": data.ArrayLayout(config.row_bits + 1, config.layers),
        })  # fmt: skip


class ListContext(data.StructLayout):
    """What an event brought, while its beats are on their way; of a marker only ``kind`` counts.

    ``layer``: of a unit; ``address``: the list's.
    """

    def __init__(self, config: CoreConfig):
        super().__init__({
            "kind": EventKind, "part": ListPart, "value": signed(config.value_bits), "bank": 1,
            "group": config.group_bits, "is_input": 1, "layer": config.layer_bits, "address": LIST_ADDRESS_BITS,
        })  # fmt: skip


class ListRun(ReadRun):
    """A list in external memory."""

    def __init__(self):
        super().__init__(LIST_ADDRESS_BITS, LIST_COUNT_BITS)


class ListFetch(wiring.Component):
    """Look events up, and ask for their lists.

    An event in some ``CYCLES``, ahead of its beats; order kept. An event without a list ends here.

    Members
    -------
    event : In(Event), valid : In(1), ready : Out(1)
        Broadcast events; whoever sends holds back while ``ready`` is low. There is room for the ``slack`` events that
        it may send before it sees so.
    format : In(ListFormat)
    write_en, write_addr, write_data : In
        Loading the directory: the run of each list; of dense inputs it has none.
    runs : Out(stream.Signature(ListRun))
    contexts : Out(stream.Signature(ListContext))
        Of each run, and of each marker, in the order of both.
    """

    #: From an event's turn to that of the next one.
    CYCLES = 4 + max(1 + MEMORY_LATENCY, MULTIPLIER_LATENCY)

    def __init__(self, config: CoreConfig):
        self._config = config
        #: Events that may still come when ``ready`` is decided: one in each cycle until it shows, passes a register of
        #: the broadcaster, and is seen in what that sends, with more hops a cycle later.
        self.slack = 3 + (config.hops > 1)
        super().__init__({
            "event": In(Event(config)), "valid": In(1), "ready": Out(1), "format": In(ListFormat(config)),
            "write_en": In(1), "write_addr": In(range(config.lists)), "write_data": In(ListRun()),
            "runs": Out(stream.Signature(ListRun())),
            "contexts": Out(stream.Signature(ListContext(config))),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, form = self._config, self.format
        m.submodules.events = events = Queue(shape=Event(config), depth=config.queue_depth, guarded=False)
        m.submodules.directory = directory = PipelinedMemory(shape=ListRun(), depth=config.lists)
        m.submodules.multiplier = multiplier = Multiplier(signed(config.source_bits + 1), signed(LIST_COUNT_BITS + 1))
        waiting = events.o.payload
        listed = Signal(range(config.lists), reset_less=True)  # the list's place in the directory
        m.d.sync += listed.eq(waiting.source - Mux(form.dense_inputs, form.inputs, 0))
        m.d.comb += [
            events.i.payload.eq(self.event),
            events.i.valid.eq(self.valid),
            directory.read_addr.eq(listed),
            directory.write_en.eq(self.write_en),
            directory.write_addr.eq(self.write_addr),
            directory.write_data.eq(self.write_data),
            multiplier.a.eq(waiting.source),
            multiplier.b.eq(form.input_beats),
        ]
        places = config.queue_depth + 1
        free, left = Signal(range(places + 1), init=places), Signal()
        m.d.sync += [
            left.eq(events.o.valid & events.o.ready),
            free.eq(free + left - self.valid),
            self.ready.eq(free > self.slack),
        ]

        # The event stands at the queue's end until it is looked up.
        is_event, uniform = Signal(), Signal(reset_less=True)
        is_input, behind = Signal(reset_less=True), Signal(max(1, config.layers - 1), reset_less=True)
        m.d.sync += [
            is_input.eq(waiting.source < form.inputs),
            uniform.eq((waiting.source < form.inputs) & form.dense_inputs),
            behind.eq(Cat(waiting.source >= first for first in form.first_unit)),
        ]
        context, found = self.contexts.payload, self.runs.payload
        nothing = Signal(reset_less=True)
        m.d.comb += [
            is_event.eq(waiting.kind == EventKind.EVENT),
            *(context[name].eq(waiting[name]) for name in ("kind", "part", "value", "bank", "group")),
            context.is_input.eq(is_input),
            context.layer.eq(sum(behind)),
            context.address.eq(found.address),
        ]
        m.d.sync += [
            found.address.eq(Mux(uniform, multiplier.product[:LIST_ADDRESS_BITS], directory.read_data.address)),
            found.beats.eq(Mux(uniform, form.input_beats, directory.read_data.beats)),
            nothing.eq(is_event & (found.beats == 0)),
        ]
        wait = Signal(range(self.CYCLES))
        asked, told = Signal(), Signal()  # the run, or the context, was taken already
        run_done, context_done, looked_up = Signal(), Signal(), Signal()
        m.d.comb += [
            looked_up.eq(events.o.valid & (wait == self.CYCLES - 2)),
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
