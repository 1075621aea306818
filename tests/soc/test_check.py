"""What a SoC says against what it must say: nothing that is wrong passes."""

import re

import pytest

from sim.soc.check import Expected, Speed, differences, read, too_slow

STEPS = 10
EXPECTED = Expected([(7, -5), (3, 250)], {("steps", 0): 20, ("macs", 0): 30, ("macs", 1): 12})
LINES = [
    "core 0x12345678, 2 lanes", "network 100 words, 5000 cycles",
    "driver 0 7 -5", "driver 1 3 250", "driver elapsed 600 waited 100 core 400",
    "queues 0 7 -5", "queues 1 3 250", "queues elapsed 500 waited 350 core 400",
    "count cycles 0 9999", "count steps 0 20", "count macs 0 30", "count macs 1 12",
    "count lane_busy 0 40", "count lane_busy 1 2", "DONE",
]  # fmt: skip


def test_reads_what_is_right():
    said = read(LINES, STEPS)
    assert differences(said, EXPECTED) == [] and too_slow(said) == []
    assert said.speed == {"driver": Speed(60.0, 40.0, 50.0), "queues": Speed(50.0, 40.0, 15.0)}
    assert said.speed["driver"].overhead == 0.5 and said.speed["queues"].overhead == 0.25
    assert said.load_cycles == 5000


@pytest.mark.parametrize(
    "line, instead, message",
    [
        ("driver 1 3 250", "driver 1 3 251", "driver: image 1 is 3 with 251, not 3 with 250"),
        ("queues 0 7 -5", "queues 0 6 -5", "queues: image 0 is 6 with -5, not 7 with -5"),
        ("queues 1 3 250", None, "queues: 1 results for 2 images"),
        ("count macs 1 12", "count macs 1 13", "count macs 1 is 13, not 12"),
        ("count steps 0 20", None, "count steps 0 is None, not 20"),
        ("count lane_busy 1 2", "count lane_busy 1 3", "lanes were busy 43 cycles in all, not 42"),
        ("DONE", "FAIL", "it did not say DONE"),
        ("DONE", "error: network: the image is damaged", "error: network: the image is damaged"),
    ],
)
def test_notices_what_is_wrong(line, instead, message):
    lines = [other for each in LINES if (other := instead if each == line else each) is not None]
    assert message in differences(read(lines, STEPS), EXPECTED)


def test_notices_results_out_of_order():
    lines = [*LINES[:2], LINES[3], LINES[2], *LINES[4:]]
    assert "image out of order: driver 1 3 250" in differences(read(lines, STEPS), EXPECTED)


@pytest.mark.parametrize("way, elapsed", [("driver", 602), ("queues", 700)])
def test_notices_what_is_slow(way, elapsed):
    lines = [re.sub(rf"^{way} elapsed \d+", f"{way} elapsed {elapsed}", line) for line in LINES]
    (message,) = too_slow(read(lines, STEPS))
    assert message == f"{way}: the overhead is {elapsed / 400 - 1:.3f}, more than 0.5"
