"""Tally: every count exact while it is read, whatever is moved to memory meanwhile."""

import random
from collections import deque

import cocotb
import pytest

from hw.tally import LOW_BITS, Tally
from tests.hw.bench import start
from tests.hw.pins import Pins

#: So many that a count of 64 can carry again before its turn comes.
MOST = (1, 64, 1, 3, 64, *[1] * 43)
CYCLES = 30_000  #: in which the largest counts carry out of their registers hundreds of times
#: That carry out of their registers soonest.
FAST = [k for k, most in enumerate(MOST) if most == max(MOST)]
CLEARING = 8_000  #: more cycles, in which counts are cleared again and again, at any moment of a move


@cocotb.test()
async def counts(dut):
    """Looked at all the time, a counter shows what it was at most ``LATENCY`` cycles before, and never falls."""
    pins = Pins(dut, Tally(MOST))
    await start(dut)
    totals, busy = [0] * len(MOST), [1.0] * len(MOST)
    history = deque(maxlen=Tally.LATENCY + 1)  # of totals, the oldest first
    selected, since, cleared, largest = 0, 0, False, 0
    for cycle in range(CYCLES + CLEARING):
        if random.random() < 0.02:
            selected, since = random.choice(range(len(MOST)) if cycle < CYCLES else FAST), 0
        if random.random() < 0.001:
            busy = [random.choice((0.05, 0.9, 1.0)) for _ in MOST]
        clear = random.random() < (1 / 10_000 if cycle < CYCLES else 1 / 150) or cycle == CYCLES // 2
        added = [limit if random.random() < share else random.randrange(limit + 1)
                 for limit, share in zip(MOST, busy, strict=True)]  # fmt: skip
        history.append(tuple(totals))
        await pins.cycle(
            select=selected, clear=clear, increments={f"of_{k}": increment for k, increment in enumerate(added)}
        )
        since += 1
        if since > Tally.LATENCY and len(history) > Tally.LATENCY:
            assert pins.get("count") in {then[selected] for then in history}
        totals = [0] * len(MOST) if cleared else [a + b for a, b in zip(totals, added, strict=True)]
        cleared, largest = clear, max(largest, *totals)
    assert largest > 50 << LOW_BITS


def test_tally(simulate):
    simulate(Tally(MOST))


def test_too_many_counters():
    with pytest.raises(ValueError, match="1025 counters; there can be 1024"):
        Tally([1] * 1025)
