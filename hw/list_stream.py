"""The lists of a core in external memory: from events to the beats that its lanes get (``docs/beats.md``)."""

from amaranth import Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.beat_spreader import BeatSpreader, lane_beats
from hw.bus.axi4_read import ADDRESS_BITS, Axi4Read, ReadFault, read_signature
from hw.config import LIST_ADDRESS_BITS, LIST_COUNT_BITS, CoreConfig
from hw.errors import Error
from hw.event import Event
from hw.list_fetch import ListContext, ListFetch, ListFormat, ListRun
from hw.load_bus import NetworkDescription
from hw.queue import Queue

CONTEXTS = 8  #: lists, and markers, that may be asked for before the beats of the first have come


class ListStream(wiring.Component):
    """Look up each event's list, read it, and hand its beats to the lanes.

    As many lists are asked for ahead as :data:`CONTEXTS`; beats go as fast as memory gives them and lanes take them.

    Members
    -------
    event : In(Event), valid : In(1), ready : Out(1)
        See :class:`hw.list_fetch.ListFetch`.
    network : In(NetworkDescription)
    write_en, write_addr, write_data : In
        Loading the directory.
    restart : In(1)
        Forget everything but the directory. Lists are read again once memory has answered what was asked of it.
    base : In(32), size : In(25)
        The window of external memory: its first byte, a multiple of 4096, and its beats.
    ar, r
        To memory; see :class:`hw.bus.axi4_read.Axi4Read`.
    beats, to, lanes_ready
        See :class:`hw.beat_spreader.BeatSpreader`.
    error : Out(Error), detail : Out(32)
        For as long as a fault lasts, which only ``restart`` ends; nothing goes any more until then.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "event": In(Event(config)), "valid": In(1), "ready": Out(1), "network": In(NetworkDescription(config)),
            "write_en": In(1), "write_addr": In(range(config.lists)), "write_data": In(ListRun()), "restart": In(1),
            "base": In(ADDRESS_BITS), "size": In(LIST_ADDRESS_BITS + 1),
            **read_signature(config.port_bits),
            **lane_beats(config), "lanes_ready": In(config.lanes),
            "error": Out(Error), "detail": Out(32),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self._config
        restarts = ResetInserter(self.restart)
        m.submodules.fetch = fetch = restarts(ListFetch(config))
        m.submodules.contexts = contexts = restarts(Queue(shape=ListContext(config), depth=CONTEXTS))
        m.submodules.read = read = Axi4Read(
            address_bits=LIST_ADDRESS_BITS, count_bits=LIST_COUNT_BITS, data_bits=config.port_bits
        )
        m.submodules.spreader = spreader = restarts(BeatSpreader(config))
        form, shift = self._format(m), config.beats_at_once.bit_length() - 1
        m.d.comb += [
            fetch.event.eq(self.event),
            fetch.valid.eq(self.valid),
            self.ready.eq(fetch.ready),
            *(getattr(fetch, name).eq(getattr(self, name)) for name in ("write_en", "write_addr", "write_data")),
            fetch.format.eq(form),
            spreader.format.eq(form),
            read.base.eq(self.base),
            read.size.eq(self.size >> shift),
            read.restart.eq(self.restart),
            spreader.lanes_ready.eq(self.lanes_ready),
            *(mine.eq(theirs) for mine, theirs in zip(self.beats, spreader.beats, strict=True)),
            *(mine.eq(theirs) for mine, theirs in zip(self.to, spreader.to, strict=True)),
            # Of a bus that brings several beats at once a run has fewer, and so has the window.
            read.runs.payload.address.eq(fetch.runs.payload.address >> shift),
            read.runs.payload.beats.eq(fetch.runs.payload.beats >> shift),
            read.runs.valid.eq(fetch.runs.valid),
            fetch.runs.ready.eq(read.runs.ready),
        ]
        wiring.connect(m, fetch.contexts, contexts.i)
        wiring.connect(m, contexts.o, spreader.contexts)
        wiring.connect(m, read.o, spreader.words)
        wiring.connect(m, read.ar, wiring.flipped(self.ar))
        wiring.connect(m, wiring.flipped(self.r), read.r)

        with m.Switch(read.fault):
            for fault, error in (
                (ReadFault.RANGE, Error.LIST_RANGE), (ReadFault.RESPONSE, Error.LIST_READ),
                (ReadFault.TIMEOUT, Error.LIST_TIMEOUT),
            ):  # fmt: skip
                with m.Case(fault):
                    m.d.comb += self.error.eq(error)
            with m.Default(), m.If(spreader.fault):
                m.d.comb += self.error.eq(Error.LIST_TARGET)
        m.d.comb += self.detail.eq(
            Mux(read.fault == ReadFault.NONE, spreader.fault_address, read.fault_address << shift)
        )
        return m

    def _format(self, m):
        """Return what follows from the network alone: registered, and not reset, as the network stays."""
        config, network = self._config, self.network
        form = Signal(ListFormat(config), reset_less=True)
        count = network.layer_count
        m.d.sync += [
            form.inputs.eq(network.inputs),
            form.dense_inputs.eq(network.input_beats != 0),
            form.input_beats.eq(network.input_beats),
            form.dense_readout.eq(network.dense_readout),
            form.row_count.eq(network.rows),
            form.readout_base.eq(network.rows),
            form.boundary[config.layers - 1].eq(network.rows),
        ]
        for number, layer in enumerate(network.layers):
            with m.If(network.readout & (count == number + 1)):
                m.d.sync += form.readout_base.eq(layer.base)
            if number:
                m.d.sync += [
                    form.first_unit[number - 1].eq(Mux(count > number, layer.source, (1 << len(layer.source)) - 1)),
                    form.boundary[number - 1].eq(Mux(count > number, layer.base, network.rows)),
                ]
        return form
