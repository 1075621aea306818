"""The scheduler of a cell unit: which unit of which of its lanes is updated next."""

from functools import reduce
from operator import or_

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.delay import delay
from hw.event import Drain, Job, JobTag
from hw.fanout_onchip import follows


class Scheduler(wiring.Component):
    """Choose, each cycle, the lane of this group whose next unit is updated.

    A lane's units are updated once it has passed the markers that the job names; lanes do not wait for each other.
    One unit a cycle, latency one cycle, while ``room`` is high. With more than one hop the choice takes a cycle of its
    own, and one more is lost when a lane has had its last unit.

    Members
    -------
    start : In(1), starts_rows : In(1), job : In(Job)
        A new job, told alike by two registers, the second for the lanes' rows alone; ``job`` stays until ``idle``.
    passed : In, one a lane: ``inputs`` and ``layers`` markers passed.
    room : In(1)
    idle : Out(1)
        Every unit of the job has been granted.
    grant : Out(1), drain : Out(lanes of Drain), tag : Out(JobTag)
        A unit is granted, and the command to its lane.
    lane, row : Out
        The unit granted a cycle before.
    blocked : Out(1)
        A unit is ready and there is no room.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        lanes = config.lanes_per_cell
        super().__init__({
            "start": In(1), "starts_rows": In(1), "job": In(Job(config)), "room": In(1), "idle": Out(1),
            "blocked": Out(1),
            "inputs_passed": In(2).array(lanes), "layers_passed": In(config.marker_bits).array(lanes),
            "drain": Out(Drain(config)).array(lanes),
            "grant": Out(1), "lane": Out(max(1, config.lane_bits)), "row": Out(config.row_bits),
            "tag": Out(JobTag(config)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        config, job, lanes = self._config, self.job, self._config.lanes_per_cell

        # Of each lane: whether it has units left, the row of the next, whether that is the last, whether it may go.
        # What a job sets at its start is not reset.
        pending, eligible, last = Signal(lanes), Signal(lanes), Signal(lanes, reset_less=True)
        rows = [Signal(config.row_bits, name=f"row_{lane}", reset_less=True) for lane in range(lanes)]
        left = Signal(range((lanes << config.row_bits) + 1), reset_less=True)  # units of the job
        last_row, one_left = Signal(config.row_bits, reset_less=True), Signal(reset_less=True)

        # The first lane of those that may: each finds out for itself.
        grants, granting, chosen = Signal(lanes), Signal(), Signal(lanes)
        m.d.comb += [
            *(chosen[lane].eq(self.room & eligible[lane] & ~eligible[:lane].any()) for lane in range(lanes)),
            self.blocked.eq(eligible.any() & ~self.room),
            self.idle.eq(~pending.any()),
        ]
        far = config.hops > 1
        if far:  # what was chosen may have had its last unit meanwhile
            m.d.comb += [grants.eq(delay(m, chosen, 1, "chosen", init=0) & pending), granting.eq(grants.any())]
        else:
            m.d.comb += [grants.eq(chosen), granting.eq(self.room & eligible.any())]
        tag = Signal(self.tag.shape())
        m.d.sync += self.grant.eq(granting)
        m.d.comb += [
            tag.eq(job.tag),
            tag.final.eq(one_left),
            self.tag.eq(delay(m, tag, 1, "tag")),
        ]
        for lane, drain in enumerate(self.drain):
            m.d.sync += [drain.valid.eq(grants[lane]), drain.bank.eq(job.bank)]
            m.d.comb += drain.row.eq(delay(m, rows[lane], 1, f"drain_row_{lane}"))
        # Which unit it is is needed later than that there is one.
        lane_granted, row_granted = (Signal.like(port, reset_less=True) for port in (self.lane, self.row))
        m.d.comb += [self.lane.eq(lane_granted), self.row.eq(row_granted)]
        drained = [(lane, drain.row, drain.valid) for lane, drain in enumerate(self.drain)]  # one at a time
        with m.If(self.grant):
            m.d.sync += [
                lane_granted.eq(reduce(or_, (Mux(valid, lane, 0) for lane, _, valid in drained))),
                row_granted.eq(reduce(or_, (Mux(valid, row, 0) for _, row, valid in drained))),
            ]

        # A count of markers is ahead of the need if their difference, modulo the width, is not negative.
        ready, still_pending = Signal(lanes), Signal(lanes)
        for lane in range(lanes):
            layers_ahead = self.layers_passed[lane] - job.need_layers
            inputs_ahead = self.inputs_passed[lane] - job.need_inputs
            m.d.comb += ready[lane].eq(~layers_ahead[config.marker_bits - 1] & (~job.first_layer | ~inputs_ahead[1]))
        m.d.comb += still_pending.eq(pending & ~(grants & last))
        # Of far lanes it is known a cycle later; for a new job it is not known then, and stays true of an old one.
        is_ready = delay(m, ready, far, "is_ready")

        # What is granted next follows from registers alone: each lane is told beforehand whether its unit is the last.
        with m.If(self.start):
            m.d.sync += [
                pending.eq((1 << lanes) - 1),
                eligible.eq(0 if far else ready),
                last.eq((job.rows == 1).replicate(lanes)),
                last_row.eq(job.base + job.rows - 1),
                # Added up: Yosys would take a multiplier for the product where it is no shift.
                left.eq(sum(job.rows << bit for bit in range(lanes.bit_length()) if lanes >> bit & 1)),
                one_left.eq((job.rows == 1) if lanes == 1 else 0),
            ]
        with m.Else():
            m.d.sync += [pending.eq(still_pending), eligible.eq(still_pending & is_ready)]
            with m.If(granting):
                m.d.sync += [left.eq(left - 1), one_left.eq(left == 2)]
            for lane, row in enumerate(rows):
                with m.If(grants[lane]):
                    m.d.sync += last[lane].eq(follows(last_row, row))
        for lane, row in enumerate(rows):
            with m.If(self.starts_rows):
                m.d.sync += row.eq(job.base)
            with m.Elif(grants[lane]):
                m.d.sync += row.eq(row + 1)
        return m
