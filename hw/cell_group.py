"""A cell unit with its memories and the scheduler that feeds it from its lanes."""

from amaranth import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.beats import READOUT_PLACES
from golden.fixed import GATES, STATE_FRACTION
from hw.cell_egru import CellEgru, stages
from hw.config import CoreConfig
from hw.delay import delay
from hw.event import INDEX_BITS, Drain, Job, Result, UnitUpdate
from hw.load_bus import CellWrite, LayerDescription, LoadKind, LoadWrite
from hw.queue import Queue
from hw.readout_row import Outcome, ReadoutRow
from hw.scheduler import Scheduler
from hw.vendor.generic import MEMORY_LATENCY, PartedMemory, PipelinedMemory, Relay


class UnitWord(data.StructLayout):
    """What a unit is: threshold (Q0.15), whether there is a unit at all in this row, its number outside.

    Of a row of the readout with four outputs: how many there are, whether there is any, the first one's number.
    """

    def __init__(self):
        super().__init__({"threshold": STATE_FRACTION, "present": 1, "id": INDEX_BITS})


class StateWord(data.StructLayout):
    """What a unit carries on: h (Q0.15) and whether it fired; its last y follows from both and the threshold."""

    def __init__(self):
        super().__init__({"h": signed(16), "fires": 1})


class CellGroup(wiring.Component):
    """Update the units of a group of lanes, one a cycle, and hand on what they send.

    Results leave in the order in which units were granted; a job's last unit always leaves a result, marked
    ``final``. A unit is granted only while the results queue has room for it, so nothing inside ever stalls.

    Members
    -------
    start : In(1), job : In(Job), idle : Out(1)
        See :class:`Scheduler`; both come to it one cycle later.
    layers : In(ArrayLayout(LayerDescription))
    sweep : In(Drain)
        Clear one row of every lane, one cycle later; its sums are ignored. Only while no job is under way.
    inputs_passed, layers_passed, sums : In, drain : Out
        To each lane of the group.
    results : Out(stream.Signature(Result))
    load : In(LoadWrite)
    state_addr : In(unit_bits), state : Out(StateWord)
        Read of a unit's state, latency 3, out of distributed RAM 4, while no job is under way.
    update : Out(UnitUpdate)
    silent_fire, blocked : Out(1)
        Events to count: a unit fired with a y that rounds to 0; a unit was ready and the results queue full.
    """

    #: Places for results, of which one is kept for each unit under way: about as many as the pipeline has stages.
    RESULTS_DEPTH = 32

    def __init__(self, config: CoreConfig, number: int):
        self._config, self._number = config, number
        lanes = config.lanes_per_cell
        #: Cycles from a grant to the sums at the cell: 3 in the lane, 1 to choose between several lanes, and two hops.
        self.sums_after = 3 + (lanes > 1) + 2 * (config.hops - 1)
        sums = data.ArrayLayout(signed(config.acc_bits), len(GATES))
        super().__init__({
            "start": In(1), "job": In(Job(config)), "idle": Out(1),
            "layers": In(data.ArrayLayout(LayerDescription(config), config.layers)),
            "sweep": In(Drain(config)),
            "inputs_passed": In(2).array(lanes), "layers_passed": In(config.marker_bits).array(lanes),
            "drain": Out(Drain(config)).array(lanes), "sums": In(sums).array(lanes),
            "results": Out(stream.Signature(Result(config))),
            "load": In(LoadWrite(config)),
            "state_addr": In(config.unit_bits), "state": Out(StateWord()),
            "update": Out(UnitUpdate(config)), "silent_fire": Out(1), "blocked": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.scheduler = scheduler = Scheduler(config)
        m.submodules.cell = cell = CellEgru(config)
        depth, distributed = config.rows << config.lane_bits, config.distributed_cells
        m.submodules.queue = queue = Queue(
            shape=Result(config), depth=self.RESULTS_DEPTH, direct=config.hops == 1, guarded=False
        )
        m.submodules.units = units = PipelinedMemory(shape=UnitWord(), depth=depth, distributed=distributed)
        m.submodules.states = states = PipelinedMemory(shape=StateWord(), depth=depth, distributed=distributed)

        # Buses to all cell units end in registers of each.
        m.submodules.start_relay = start_relay = Relay(2)
        m.submodules.job_relay = job_relay = Relay(Job(config))
        m.submodules.load_relay = load_relay = Relay(CellWrite(config))
        load, selected = load_relay.o, self.load.valid & (self.load.select == self._number)
        m.d.comb += [
            start_relay.i.eq(self.start.replicate(2)),
            job_relay.i.eq(self.job),
            *(
                load_relay.i.biases[gate].eq(selected & (self.load.kind.as_value() == LoadKind.BIAS.value + gate))
                for gate in range(len(GATES))
            ),
            load_relay.i.unit.eq(selected & (self.load.kind == LoadKind.UNIT)),
            load_relay.i.state.eq(selected & (self.load.kind == LoadKind.STATE)),
            load_relay.i.address.eq(self.load.address),
            load_relay.i.data.eq(self.load.data),
        ]

        m.d.comb += [
            scheduler.start.eq(start_relay.o[0]),
            scheduler.starts_rows.eq(start_relay.o[1]),
            scheduler.job.eq(job_relay.o),
            self.idle.eq(scheduler.idle),
            self.blocked.eq(scheduler.blocked),
        ]
        for lane in range(config.lanes_per_cell):
            m.submodules[f"sweep_relay_{lane}"] = sweep_relay = Relay(Drain(config))
            sweep = sweep_relay.o
            m.d.comb += [
                sweep_relay.i.eq(self.sweep),
                scheduler.inputs_passed[lane].eq(self.inputs_passed[lane]),
                scheduler.layers_passed[lane].eq(self.layers_passed[lane]),
                self.drain[lane].eq(Mux(sweep.valid, sweep, scheduler.drain[lane])),
            ]

        # The unit under way: of each list, item k is of the unit granted k cycles ago.
        at = stages(config)
        after_grant = self.sums_after + at.latency
        valid, tags = [scheduler.grant], [scheduler.tag]
        addresses = [None, Cat(scheduler.lane[: config.lane_bits], scheduler.row)]
        for k in range(after_grant):
            valid.append(delay(m, valid[-1], 1, f"valid_after_{k}", init=0))
            tags.append(delay(m, tags[-1], 1, f"tag_after_{k}"))
        for k in range(1, after_grant):
            addresses.append(delay(m, addresses[-1], 1, f"unit_after_{k}"))

        def after_sums(cycle):
            return self.sums_after + cycle

        # Its sums, from its lane: a tree with as many levels as the bus has hops, so that each joins neighbours.
        choices, levels = list(self.sums), config.hops - (config.lanes_per_cell == 1)
        for level in range(levels):
            first, last = (config.lane_bits * k // levels for k in (level, level + 1))
            chooser = delay(m, scheduler.lane[first:last], self.sums_after - levels + level - 2, f"chooser_{level}")
            groups = [choices[k : k + (1 << last - first)] for k in range(0, len(choices), 1 << last - first)]
            choices = []
            for k, group in enumerate(groups):
                chosen = Signal(group[0].shape(), name=f"sums_{level}_{k}", reset_less=True)
                if len(group) == 1:
                    m.d.sync += chosen.eq(group[0])
                else:
                    m.submodules[f"chooser_{level}_{k}"] = own = Relay(chooser.shape())
                    m.d.comb += own.i.eq(chooser)
                    m.d.sync += chosen.eq(Array(group)[own.o])
                choices.append(chosen)
        m.d.comb += cell.sums.eq(choices[0])

        m.submodules.biases = biases = PartedMemory(
            shape=signed(config.acc_bits), parts=len(GATES), depth=depth, distributed=distributed
        )
        m.d.comb += [
            biases.read_addr.eq(addresses[after_sums(-MEMORY_LATENCY)]),
            cell.bias.eq(biases.read_data),
            biases.write_en.eq(load.biases),
            biases.write_addr.eq(load.address),
            biases.write_data.eq(load.data),
        ]

        # What the loader keeps is far from here, and changes only while there is no network. What is chosen of it near
        # there has as many registers on its way as a bus.
        m.submodules.shifts_relay = shifts_relay = Relay(data.ArrayLayout(cell.shifts.shape(), config.layers))
        shifts = shifts_relay.o
        m.d.comb += [shifts_relay.i[k].eq(layer.shifts) for k, layer in enumerate(self.layers)]

        # Of the readout: four outputs of a row, or one, which needs the sum of gx and nothing else.
        logit = Signal(signed(config.acc_bits), reset_less=True)
        chosen_shifts = delay(m, shifts[tags[after_sums(1 - config.hops)].layer], config.hops, "shifts")
        m.d.sync += logit.eq(cell.sums[0] + cell.bias[0])
        m.d.comb += cell.shifts.eq(chosen_shifts)
        logit_at, event_at = after_sums(1), after_sums(at.latency)
        is_logit, is_update = Signal(), Signal()
        if config.streamed:
            m.submodules.readout_row = row = ReadoutRow(config)
            m.d.comb += [
                row.valid.eq(valid[after_sums(0)] & tags[after_sums(0)].readout),
                row.sums.eq(cell.sums),
                row.biases.eq(cell.bias),
                row.tag.eq(tags[logit_at]),
                is_logit.eq(row.o_valid),
                is_update.eq(valid[event_at] & ~tags[event_at].readout),
            ]
        else:
            m.d.comb += [
                is_logit.eq(valid[logit_at] & tags[logit_at].readout),
                is_update.eq(valid[event_at] & ~tags[event_at].readout),
            ]

        # Its threshold and number: read early for a logit, late for an update; the two never come in one cycle,
        # because a readout is granted only after the updates it depends on have left.
        threshold_addr_at = after_sums(at.threshold - MEMORY_LATENCY)
        unit = units.read_data
        unit_then = delay(m, unit, at.latency - at.threshold, "unit")
        m.d.comb += [
            units.read_addr.eq(
                Mux(
                    valid[logit_at - MEMORY_LATENCY] & tags[logit_at - MEMORY_LATENCY].readout,
                    addresses[logit_at - MEMORY_LATENCY],
                    addresses[threshold_addr_at],
                )
            ),
            cell.threshold.eq(unit.threshold),
            units.write_en.eq(load.unit),
            units.write_addr.eq(load.address),
            units.write_data.eq(load.data),
        ]

        # Its old state; a host reads states between steps.
        state_addr_at = after_sums(at.state - MEMORY_LATENCY)
        # Of distributed RAM the address is far from those that ask for it.
        asked = delay(m, self.state_addr, distributed, "state_addr")
        m.d.comb += [
            states.read_addr.eq(
                Mux(valid[state_addr_at] & ~tags[state_addr_at].readout, addresses[state_addr_at], asked)
            ),
            cell.h.eq(Mux(tags[after_sums(at.state)].fresh, 0, states.read_data.h)),
            states.write_en.eq(is_update | load.state),
        ]
        m.d.comb += self.state.eq(delay(m, states.read_data, 1, "state"))
        with m.If(is_update):
            m.d.comb += [
                states.write_addr.eq(addresses[event_at]),
                states.write_data.h.eq(cell.h_next),
                states.write_data.fires.eq(cell.fires),
            ]
        with m.Else():
            m.d.comb += [states.write_addr.eq(load.address), states.write_data.eq(load.data)]

        # What it sends, to a queue near whoever takes it. On a long way it is a register later that it is found out
        # whether that is an event.
        outcome = Signal(Outcome(config))
        with m.If(is_logit):
            if config.streamed:
                m.d.comb += [row.count.eq(unit.threshold), row.id.eq(unit.id), outcome.eq(row.o)]
            else:
                m.d.comb += [
                    outcome.present.eq(unit.present),
                    outcome.tag.eq(tags[logit_at]),
                    outcome.id.eq(unit.id),
                    outcome.value.eq(logit),
                ]
        with m.Else():
            m.d.comb += [
                outcome.present.eq(unit_then.present),
                outcome.tag.eq(tags[event_at]),
                outcome.id.eq(unit_then.id),
                outcome.value.eq(cell.y),
            ]
        first = min(1, config.hops - 1)
        comes, has_result = delay(m, is_logit | is_update, first, "comes", init=0), Signal()
        then, result = delay(m, outcome, first, "outcome"), Signal(Result(config))
        is_event = ~then.tag.readout & (then.value != 0)
        m.d.comb += [
            result.to_lanes.eq(is_event),
            result.to_output.eq((then.tag.readout & then.present) | (is_event & then.tag.output)),
            result.tag.eq(then.tag),
            result.id.eq(then.id),
            result.value.eq(then.value),
            has_result.eq(comes & (result.to_lanes | result.to_output | then.tag.final)),
            queue.i.payload.eq(delay(m, result, config.hops - 1 - first, "result")),
            queue.i.valid.eq(delay(m, has_result, config.hops - 1 - first, "has_result", init=0)),
            self.silent_fire.eq(is_update & cell.fires & (cell.y == 0)),
            self.update.valid.eq(is_update & unit_then.present),
            self.update.source.eq(unit_then.id),
            self.update.h.eq(cell.h_next),
            self.update.fires.eq(cell.fires),
            self.update.y.eq(cell.y),
        ]
        wiring.connect(m, queue.o, wiring.flipped(self.results))

        # Room: a place in the queue is kept for each unit from its grant until it leaves without a result or its
        # result is taken, of which word comes back over as many hops. A grant shows one cycle late, with more hops two,
        # hence as many places less.
        kept = Signal(range(self.RESULTS_DEPTH + 2))
        released = Signal(2)
        taken = delay(m, self.results.valid & self.results.ready, config.hops - 1, "taken", init=0)
        left_empty = Signal()
        m.d.sync += left_empty.eq(comes & ~has_result)
        m.d.comb += released.eq(delay(m, taken, 1, "taken_before", init=0) + left_empty)
        limit = self.RESULTS_DEPTH - 2 - (config.hops > 1)
        if config.streamed:
            self._make_room(m, scheduler, job_relay.o.tag.readout, kept, released, limit)
        else:
            m.d.sync += kept.eq(kept + scheduler.grant - released)
            m.d.sync += scheduler.room.eq(kept < limit)
        return m

    def _make_room(self, m, scheduler, is_readout, kept, released, limit):
        """Keep four places for each row of the readout, and let four cycles pass, which count as no lack of room."""
        turn, has_room, had_room = Signal(range(READOUT_PLACES)), Signal(), Signal()
        m.d.comb += [
            has_room.eq(kept < Mux(is_readout, limit - READOUT_PLACES, limit)),
            self.blocked.eq(scheduler.blocked & ~had_room),
        ]
        m.d.sync += [
            turn.eq(turn + 1),
            kept.eq(kept + Mux(scheduler.tag.readout, scheduler.grant << 2, scheduler.grant) - released),
            had_room.eq(has_room),
            scheduler.room.eq(has_room & (~is_readout | (turn == 0))),
        ]
