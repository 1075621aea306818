"""A lane: its share of every fan-out list, one multiply-accumulate a cycle, its share of the sums."""

from amaranth import Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.fixed import GATES
from hw.accumulate import Accumulators
from hw.beat_walker import LaneBeat
from hw.config import CoreConfig
from hw.event import Drain, Event, EventKind
from hw.fanout_onchip import Advance, FanoutOnChip
from hw.fanout_stream import FanoutStream
from hw.load_bus import LaneWrite
from hw.vendor.generic import Multiplier, Relay


class LaneActivity(data.StructLayout):
    """What a lane did in this cycle: one ``mac`` for ``group`` at step parity ``parity``, or why not."""

    def __init__(self, config: CoreConfig):
        super().__init__({"mac": 1, "hazard": 1, "drain": 1, "group": config.group_bits, "parity": 1})


class Lane(wiring.Component):
    """Walk this lane's part of the fan-out list of each event and add the products up.

    One entry a cycle. Waits for nobody: an entry waits only for a hazard (see :class:`Accumulators`) or for a drain,
    which comes first. The broadcaster must hold back while ``ready`` is low.

    Members
    -------
    event : In(Event), valid : In(1), ready : Out(1)
        Broadcast events. With lists in external memory there are beats instead, see
        :class:`hw.fanout_stream.FanoutStream`: ``beats`` and ``to``, and no ``load``.
    drain : In(Drain)
        Always obeyed at once; ``sums`` holds the row 3 cycles later. The scheduler drains a row only when all its sums
        are complete and nothing that adds to it is under way.
    sums : Out(ArrayLayout(signed(acc_bits), 4))
    inputs_passed, layers_passed : Out
        Markers of either kind passed, modulo their width. A marker passes when every entry before it has gone.
    load : In(LaneWrite)
    activity : Out(LaneActivity)
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        ways = 2 * config.beats_at_once
        super().__init__({
            **({"beats": In(LaneBeat(config)).array(ways), "to": In(ways)} if config.streamed
               else {"event": In(Event(config)), "valid": In(1), "load": In(LaneWrite(config))}),
            "ready": Out(1),
            "drain": In(Drain(config)),
            "sums": Out(data.ArrayLayout(signed(config.acc_bits), len(GATES))),
            "inputs_passed": Out(2), "layers_passed": Out(config.marker_bits),
            "activity": Out(LaneActivity(config)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.fanout = fanout = FanoutStream(config) if config.streamed else FanoutOnChip(config)
        m.submodules.multiplier = multiplier = Multiplier(signed(config.weight_bits), signed(config.value_bits))
        m.submodules.accumulators = accumulators = Accumulators(config)

        if config.streamed:
            m.d.comb += fanout.to.eq(self.to)
            m.d.comb += [theirs.eq(beat) for theirs, beat in zip(fanout.beats, self.beats, strict=True)]
        else:
            self._connect_buses(m, fanout)
        m.d.comb += self.ready.eq(fanout.ready)

        operation, advance = fanout.o, accumulators.i.ready
        target = accumulators.i.payload
        # What moves the walk is known a cycle before, and kept near it, too.
        m.submodules.advance_relay = advance_relay = Relay(Advance)
        is_entry = Signal()
        m.d.comb += [
            is_entry.eq(operation.kind == EventKind.EVENT),
            accumulators.i.valid.eq(fanout.o_valid & is_entry),
            # A marker, too, waits until the entry before it goes.
            advance_relay.i.eq(accumulators.will_be_ready.replicate(len(Value.cast(advance_relay.i)))),
            fanout.advance.eq(advance_relay.o),
            target.bank.eq(operation.bank),
            target.row.eq(operation.entry.row),
            target.gate.eq(operation.entry.gate),
            accumulators.behind.eq(fanout.behind),
            # The multiplier's first register holds the operands of the operation that the accumulators hold.
            multiplier.a.eq(operation.entry.weight),
            multiplier.b.eq(operation.value),
            multiplier.en.eq(advance),
            accumulators.product.eq(multiplier.product),
            accumulators.drain.eq(self.drain),
            self.sums.eq(accumulators.sums),
        ]

        # A marker that passes is told one cycle late: what the last entry before it adds to is then in memory when the
        # scheduler drains it.
        passes, marker = Signal(), Signal.like(operation.kind, reset_less=True)
        m.d.sync += [passes.eq(fanout.o_valid & advance), marker.eq(operation.kind)]
        with m.If(passes & (marker == EventKind.INPUT_END)):
            m.d.sync += self.inputs_passed.eq(self.inputs_passed + 1)
        with m.If(passes & (marker == EventKind.LAYER_END)):
            m.d.sync += self.layers_passed.eq(self.layers_passed + 1)

        # The bank is the parity of step plus target layer: t for an input, t + l + 1 for a unit of layer l, whose group
        # is l + 1.
        group, parity = Signal(config.group_bits, reset_less=True), Signal(reset_less=True)
        with m.If(advance):
            m.d.sync += [group.eq(operation.group), parity.eq(operation.bank ^ operation.group[0])]
        m.d.comb += [
            self.activity.group.eq(group),
            self.activity.parity.eq(parity),
            self.activity.mac.eq(accumulators.goes),
            self.activity.hazard.eq(accumulators.hazard),
            self.activity.drain.eq(accumulators.drained),
        ]
        return m

    def _connect_buses(self, m, fanout):
        """Connect events and loading: buses to all lanes end in registers of each."""
        config = self._config
        m.submodules.load_relay = load_relay = Relay(LaneWrite(config))
        m.submodules.event_relay = event_relay = Relay(Event(config))
        m.submodules.valid_relay = valid_relay = Relay(1)
        load = load_relay.o
        m.d.comb += [
            load_relay.i.eq(self.load),
            event_relay.i.eq(self.event),
            valid_relay.i.eq(self.valid),
            fanout.load_directory.eq(load.directory),
            fanout.load_entry.eq(load.entry),
            fanout.load_addr.eq(load.address),
            fanout.load_data.eq(load.data),
            fanout.event.eq(event_relay.o),
            fanout.valid.eq(valid_relay.o),
        ]
