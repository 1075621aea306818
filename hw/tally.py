"""Many wide counters at the price of narrow ones: what they count high up is kept in a memory."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.delay import delay
from hw.vendor.generic import MEMORY_LATENCY, PipelinedMemory, Relay

COUNTER_BITS = 48
LOW_BITS = 12  #: of a count that are never in memory
HIGH_BITS = COUNTER_BITS - LOW_BITS
#: As many counters as these bits tell apart are told of moves, and cleared, by registers of their own, near them.
NEIGHBOUR_BITS = 2


def slots(counters: int) -> int:
    """Return how many counters take turns: as many as there are, or so many that one's move ends before its next."""
    return max(8, counters)


class Tally(wiring.Component):
    """Add up increments of many counters, each exact in every cycle.

    The low bits of each count, and what was carried out of them, are registers. Every second cycle the carries of one
    counter are moved to its high bits, in a memory, long before there can be too many; in the cycles between, the
    counter that is looked at is read. What is read is a count as it was in one cycle, some cycles before.

    Parameters
    ----------
    most : sequence of int
        The largest increment of each counter.

    Members
    -------
    increments : In, one for each counter
    clear : In(1)
        All counts are 0 two cycles later.
    select : In(range(len(most))), count : Out(48)
        The count of ``LATENCY`` cycles ago or later.

    Raises
    ------
    ValueError
        If there are more counters than carries can be moved for in time.
    """

    #: A read begins every second cycle and takes up to eight, by the levels of its choice among counters; the next one
    #: counts if one meets a move of the same counter.
    LATENCY = MEMORY_LATENCY + 10

    def __init__(self, most: Sequence[int]):
        self._most = most
        self._slots = slots(len(most))
        # In twice a round a counter of ones carries once at most, and others no more often than their increment.
        if 4 * self._slots > 1 << LOW_BITS:
            raise ValueError(f"there are {len(most)} counters; there can be {(1 << LOW_BITS) // 4}")
        super().__init__({
            "increments": In(data.StructLayout({f"of_{k}": limit.bit_length() for k, limit in enumerate(most)})),
            "clear": In(1), "select": In(range(max(2, len(most)))), "count": Out(COUNTER_BITS),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        carry_bits = [limit.bit_length() for limit in self._most]
        lows = [Signal(LOW_BITS, name=f"low_{k}") for k in range(len(self._most))]
        carries = [Signal(bits, name=f"carries_{k}") for k, bits in enumerate(carry_bits)]
        in_memory = [Signal(name=f"in_memory_{k}") for k in range(len(self._most))]  # since it was cleared
        m.submodules.highs = highs = PipelinedMemory(shape=HIGH_BITS, depth=self._slots)

        # Moves and reads in turn look at one counter each.
        reads, slot = Signal(), Signal(range(self._slots))
        m.d.sync += reads.eq(~reads)
        with m.If(reads):
            m.d.sync += slot.eq(Mux(slot == self._slots - 1, 0, slot + 1))
        coming = delay(m, Mux(reads, self.select, slot), 1, "coming")
        address, reading = delay(m, coming, 1, "address"), delay(m, reads, 2, "reading")
        m.d.comb += highs.read_addr.eq(address)
        words = [Cat(low, held, carried) for low, held, carried in zip(lows, in_memory, carries, strict=True)]
        words += [words[0]] * (self._slots - len(words))
        # One of four neighbours, then one of four of these, and so on, as there may be hundreds and they are far apart.
        levels = max(2, (len(slot) + 1) // 2)
        for level in range(levels):
            place, chosen = coming[2 * level : 2 * level + 2], []
            for k in range(0, len(words), 4):
                block = words[k : k + 4]
                m.submodules[f"place_{level}_{k}"] = own = Relay(len(place))
                m.d.comb += own.i.eq(delay(m, place, level, f"place_{level}_{k}_before"))
                chosen.append(Signal(max(map(len, block)), name=f"block_{level}_{k}", reset_less=True))
                m.d.sync += chosen[-1].eq(Array(block)[own.o] if len(place) else block[0])
            words = chosen
        word = words[0]

        # The word of the counter, and its high bits from memory, as both were in one cycle.
        low, held, carried = word[:LOW_BITS], word[LOW_BITS], word[LOW_BITS + 1 :]
        high = Signal(HIGH_BITS, reset_less=True)
        read_data = delay(m, highs.read_data, levels - 2, "read_data")
        m.d.sync += high.eq(Mux(held, read_data, 0) + carried)
        read_cycles = MEMORY_LATENCY + levels - 1
        looked_at = delay(m, address, read_cycles, "looked_at")
        is_read = delay(m, reading, read_cycles, "is_read")
        has_carries = Signal(reset_less=True)
        m.d.sync += has_carries.eq(carried.any())
        taken = delay(m, carried, 1, "taken")

        # A move that began before the counts were cleared must not end after it.
        cleared = [delay(m, self.clear, 1, "clear", init=0)]
        for cycle in range(read_cycles):
            cleared.append(delay(m, cleared[-1], 1, f"cleared_{cycle}", init=0))
        move = Signal(data.StructLayout({"valid": 1, "counter": len(address), "carries": len(carried)}))
        m.d.comb += [
            move.valid.eq(~is_read & has_carries & ~Cat(cleared).any()),
            move.counter.eq(looked_at),
            move.carries.eq(taken),
        ]
        m.d.sync += [
            highs.write_en.eq(move.valid),
            highs.write_addr.eq(move.counter),
            highs.write_data.eq(high),
        ]

        # A word must not be read in the cycle in which it is written.
        writes_here = highs.write_en & (highs.write_addr == address)
        meets = delay(m, writes_here, read_cycles, "meets")
        count = Cat(delay(m, low, 1, "low_read"), high)
        with m.If(is_read & ~meets):
            m.d.sync += self.count.eq(count)

        for k, limit in enumerate(self._most):
            if k % (1 << NEIGHBOUR_BITS) == 0:
                m.submodules[f"clear_{k}"] = clear = Relay(1)
                m.submodules[f"move_{k}"] = moving = Relay(
                    data.StructLayout({"valid": 1, "neighbour": NEIGHBOUR_BITS, "carries": len(carried)})
                )
                m.d.comb += [
                    clear.i.eq(self.clear),
                    moving.i.valid.eq(move.valid & (move.counter >> NEIGHBOUR_BITS == k >> NEIGHBOUR_BITS)),
                    moving.i.neighbour.eq(move.counter),
                    moving.i.carries.eq(move.carries),
                ]
            total = Signal(range((1 << LOW_BITS) + limit), name=f"total_{k}")
            moved = Signal(len(carries[k]), name=f"moved_{k}")
            m.d.comb += total.eq(lows[k] + self.increments[f"of_{k}"])
            with m.If(moving.o.valid & (moving.o.neighbour == k % (1 << NEIGHBOUR_BITS))):
                m.d.comb += moved.eq(moving.o.carries)
                m.d.sync += in_memory[k].eq(1)
            m.d.sync += [lows[k].eq(total), carries[k].eq(carries[k] - moved + total[LOW_BITS:])]
            with m.If(clear.o):
                m.d.sync += [lows[k].eq(0), carries[k].eq(0), in_memory[k].eq(0)]
        return m
