"""The largest values of a step, as they leave a core."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.delay import delay
from hw.event import INDEX_BITS, NULL_INDEX, OutputBeat

K_MAX = 16
VALUE_BITS_MAX = 32


class TopK(wiring.Component):
    """Watch values as they are transferred, and tell the k largest of each step: :func:`golden.ranking.top_k`.

    A beat a cycle, in any order; steps may follow each other at once. Nothing is ever held back. Results are there
    ``LATENCY`` cycles after the last beat of the step was transferred, and stay until those of the next step.

    Each value is compared in one cycle with all of the list and the two values before it, and inserted two cycles on:
    what it was compared with has moved by as many places as it takes to insert those two, which is known by then.

    Parameters
    ----------
    k : int
        Values that are kept, 1 to 16.
    value_bits : int
        Width of the values, 2 to 32; the bits of a beat above repeat the sign.

    Members
    -------
    valid : In(1), beat : In(OutputBeat)
        A beat is transferred: ``valid & ready`` of the stream. A null beat is no value.
    done : Out(1)
        High for a cycle, the first one of the results of a step.
    count : Out(range(k + 1))
        Values in the results: k, or all of a step that had fewer, 0 after a silent one.
    select : In(range(max(2, k))), index : Out(16), value : Out(signed(32))
        Which result to read, 0 for the largest, and its index and value, in the same cycle. Among equal values the
        lowest index comes first. Undefined from ``count`` on.

    Raises
    ------
    ValueError
        If a parameter is not as said.
    """

    LATENCY = 4

    def __init__(self, k: int, *, value_bits: int = VALUE_BITS_MAX):
        for name, number, low, high in (("k", k, 1, K_MAX), ("value_bits", value_bits, 2, VALUE_BITS_MAX)):
            if not low <= number <= high:
                raise ValueError(f"{name} is {number}; it must be from {low} to {high}")
        self._k, self._value_bits = k, value_bits
        super().__init__({
            "valid": In(1), "beat": In(OutputBeat()), "done": Out(1), "count": Out(range(k + 1)),
            "select": In(range(max(2, k))), "index": Out(INDEX_BITS), "value": Out(signed(VALUE_BITS_MAX)),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        k, sign = self._k, 1 << self._value_bits - 1
        # Value and index as one number without a sign: a larger value is larger, a lower index of equal values, too.
        # No index is all ones, so that a place without a value, 0, is below all others.
        rank = data.StructLayout({"index": INDEX_BITS, "value": self._value_bits})
        beat, coming = self.beat, Signal(rank, reset_less=True)
        m.d.sync += [coming.index.eq(~beat.index), coming.value.eq(beat.value[: self._value_bits] ^ sign)]
        counts = delay(m, self.valid & (beat.index != NULL_INDEX), 2, "counts", init=0)
        ends = delay(m, self.valid & beat.last, 2, "ends", init=0)

        # Whether the value is above each place, and above the two values that are on their way into the list. Yosys
        # makes "less" from the carry alone, "greater" from the carry and a test for zero.
        places = Signal(data.ArrayLayout(rank, k))
        before = delay(m, coming, 1, "before")
        inserting = delay(m, before, 1, "inserting")
        new = coming.as_value()
        over = delay(m, Cat(place.as_value() < new for place in places), 1, "over")
        over_before = delay(m, before.as_value() < new, 1, "over_before")
        over_inserting = delay(m, inserting.as_value() < new, 1, "over_inserting")

        # Whether it is above each place now, where these two are in it; all of a new step's list is empty.
        above, ending = Signal(k), Signal()
        m.d.sync += ending.eq(ends)
        was_above, ended = delay(m, above, 1, "was_above", init=0), delay(m, ending, 1, "ended", init=0)

        def after(insertion, over_inserted, over):
            # A place holds what it held, or what was inserted, or what the place above it held.
            for place in range(k):
                stays = Mux(insertion[place], over_inserted, over[place])
                yield Mux(insertion[place - 1], over[place - 1], stays) if place else stays

        over = Cat(ended | bit for bit in after(was_above, over_inserting, over))
        over = Cat(ending | bit for bit in after(above, over_before, over))
        m.d.sync += above.eq(Mux(counts, over, 0))

        # Insert it: all places that it is above move down by one.
        inserted = Signal.like(places)
        held, total = Signal(range(k + 1)), Signal(range(k + 1))
        came = delay(m, counts, 1, "came", init=0)
        m.d.comb += total.eq(held + (came & (held != k)))
        for place in range(k):
            moved = Mux(above[place - 1], places[place - 1], inserting) if place else inserting
            m.d.comb += inserted[place].eq(Mux(above[place], moved, places[place]))
        m.d.sync += [places.eq(inserted), held.eq(total), self.done.eq(ending)]
        results = Signal.like(places, reset_less=True)
        with m.If(ending):
            m.d.sync += [places.eq(0), held.eq(0), results.eq(inserted), self.count.eq(total)]

        chosen = results[self.select]
        m.d.comb += [self.index.eq(~chosen.index), self.value.eq((chosen.value ^ sign).as_signed())]
        return m
