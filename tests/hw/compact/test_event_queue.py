"""The queue of a compact core: each lane gets every event once and in order, at its own pace; nothing is lost."""

import random

import cocotb

from hw.compact.event_queue import EventQueue
from hw.config import CoreConfig
from tests.hw.bench import start
from tests.hw.pins import Pins, Together

LANES = (1, 3, 4, 16)
EVENTS = 1500
SENDER_DELAY = 3  #: cycles after which the broadcaster sees that it must hold back


def config(lanes):
    return CoreConfig(
        lanes=lanes, cell_units=1, rows=8, entries=64, sources=256, y_bits=8, value_bits=9, counters=False, compact=True
    )


def parts():
    return Together(**{f"lanes_{lanes}": EventQueue(config(lanes)) for lanes in LANES})


@cocotb.test()
@cocotb.parametrize(lanes=LANES, slow=(False, True))
async def gives_every_lane_every_event(dut, lanes, slow):
    """One lane, where ``slow``, takes so long that the others wait for it and the sender, too."""
    pins = Pins(dut, EventQueue(config(lanes)), f"lanes_{lanes}__")
    await start(dut)
    sent, taken = [], [0] * lanes
    seen = [False] * SENDER_DELAY
    resting = [0] * lanes  # cycles until a lane wants an event again
    held_back = furthest = 0
    while min(taken) < EVENTS:
        seen = [*seen[1:], bool(pins.get("ready"))]
        sends = len(sent) < EVENTS and seen[0]
        held_back += len(sent) < EVENTS and not seen[0]
        event = {"source": random.randrange(256), "value": random.randint(-256, 255), "bank": random.randrange(2)}
        wants = sum((rest == 0) << lane for lane, rest in enumerate(resting))
        await pins.cycle(valid=sends, event=event, wants=wants)
        given = pins.get("o_valid")
        assert given.bit_count() <= 1 and not given & ~wants
        for lane in range(lanes):
            resting[lane] = max(0, resting[lane] - 1)
            if given >> lane & 1:
                got = pins.get("o")
                wanted = sent[taken[lane]]
                assert (got.source, got.value, got.bank) == (wanted["source"], wanted["value"], wanted["bank"])
                taken[lane] += 1
                resting[lane] = 30 if slow and lane == lanes - 1 else random.choice((0, 1, 5))
        if sends:
            sent.append(event)
        furthest = max(furthest, len(sent) - min(taken))
    assert furthest <= EventQueue.DEPTH
    assert bool(held_back) if slow else True


def test_event_queue(simulate):
    simulate(parts())
