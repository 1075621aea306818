"""The core behind a serial line, driven by the host's own driver, on a clean line and on a bad one."""

import gc
import random

import cocotb
import numpy as np
import pytest
from cocotb.task import bridge

from firmware.link import Link, LinkError, Step
from firmware.operations import Send
from hw.bus.operations import Outcome
from hw.config import CoreConfig
from hw.counters import counter_map
from hw.uart_top import UartTop
from tests.hw.bench import start
from tests.hw.oracle import Case, draw_case, expect
from tests.hw.serial_line import Noise, SimulatedPort

CONFIGS = {
    "usual": CoreConfig(lanes=2, cell_units=1, queue_depth=8, rows=16, entries=256, sources=64, layers=3),
    "compact": CoreConfig(
        lanes=2, cell_units=1, rows=16, entries=256, sources=64, layers=3, counters=False, compact=True
    ),
}  # fmt: skip
DIVISOR = 4
BUFFER_BYTES = 256
PATIENCE = 2000
TIMEOUT = 100e-6  # of simulated time: longer than any request here takes


def config() -> CoreConfig:
    return CONFIGS[cocotb.plusargs["config"]]


def design(config):
    return UartTop(config, clock_hz=DIVISOR * 1_000_000, baud=1_000_000, buffer_bytes=BUFFER_BYTES, patience=PATIENCE)


def small_case(seed) -> Case:
    rng = np.random.default_rng((cocotb.RANDOM_SEED, seed))
    return draw_case(rng, config(), units_max=8, steps_max=4)


def steps_of(case: Case) -> list[Step]:
    return [
        Step([(int(i), int(values[i])) for i in np.flatnonzero(values)], ending=t == len(sequence) - 1)
        for sequence in case.sequences
        for t, values in enumerate(sequence)
    ]


@bridge
def compute(port, case):
    link = Link(port, timeout=TIMEOUT, attempts=50)
    link.load(case.compiled.words.tolist())
    link.set_register("control", clear_counters=1)
    wanted = expect(case.network, case.sequences)
    packets = list(link.run(steps_of(case)))
    assert [(dict(packet.events), packet.ending) for packet in packets] == [(w.outputs, w.ending) for w in wanted]
    counters = link.counters()
    assert counters.keys() == (counter_map(config()).keys() if config().counters else set())
    for group in range(len(wanted[0].macs)) if counters else ():
        assert counters["steps"] == len(wanted)
        assert counters[f"macs_{group}"] == sum(step.macs[group] for step in wanted)
        assert counters[f"events_{group}"] == sum(step.events[group] for step in wanted)
    return link


@cocotb.test()
@cocotb.parametrize(noise=[0.0, 0.003], seed=range(2))
async def computes_what_the_oracle_computes(dut, noise, seed):
    rng = random.Random(f"{cocotb.RANDOM_SEED} {seed}")
    port = SimulatedPort(dut.rx, dut.tx, DIVISOR, Noise(rng, noise))
    await start(dut)
    link = await compute(port, small_case(seed))
    assert bool(link.repetitions) == bool(noise)
    assert dut.loaded.value and not dut.error.value and not dut.busy.value


class RecordingLink(Link):
    """A driver that remembers the outcomes it met."""

    def __init__(self, *arguments, **options):
        self.outcomes = set()
        super().__init__(*arguments, **options)

    def execute(self, operations):
        results = super().execute(operations)
        self.outcomes |= {result.outcome for result in results}
        return results


@bridge
def send_ahead(port, case):
    """Send all steps before taking any output, as far as the core lets the driver."""
    link = RecordingLink(port, timeout=TIMEOUT)
    link.load(case.compiled.words.tolist())
    steps = steps_of(case)
    for step in steps:
        link.send(step)
    packets = [link.receive() for _ in steps]
    wanted = expect(case.network, case.sequences)
    assert [(dict(packet.events), packet.ending) for packet in packets] == [(w.outputs, w.ending) for w in wanted]
    assert Outcome.TIMEOUT in link.outcomes, "nothing ever waited"


@cocotb.test()
async def never_locks_up(dut):
    port = SimulatedPort(dut.rx, dut.tx, DIVISOR)
    await start(dut)
    case = small_case(10)
    sequences = case.sequences * (1 + 16 // sum(map(len, case.sequences)))  # more than the core holds
    await send_ahead(port, Case(case.compiled, sequences))


@bridge
def reset_anywhere(port, case, other):
    """Leave a step half sent, with a beat that the core has no place for, and begin anew; then with another network."""
    link = Link(port, timeout=TIMEOUT)
    link.load(case.compiled.words.tolist())
    for stuck in (False, True, True):
        steps = steps_of(case)
        outcome = Outcome.OKAY
        while stuck and outcome == Outcome.OKAY:  # until the core waits for its output to be taken
            (result,) = link.execute([Send([(0, 1)], last=True)])
            outcome = result.outcome
        link.execute([Send([(0, 1)])])
        link.reset()
        assert link.status == {"loaded": 1, "idle": 1, "error": 0}
        packets = list(link.run(steps))
        wanted = expect(case.network, case.sequences)
        assert [dict(packet.events) for packet in packets] == [step.outputs for step in wanted]
        if counters := link.counters():
            assert counters["events_0"] == sum(step.events[0] for step in wanted)
    link.load(other.compiled.words.tolist())
    packets = list(link.run(steps_of(other)))
    assert [dict(packet.events) for packet in packets] == [w.outputs for w in expect(other.network, other.sequences)]


@cocotb.test()
async def begins_anew_after_a_reset(dut):
    port = SimulatedPort(dut.rx, dut.tx, DIVISOR)
    await start(dut)
    await reset_anywhere(port, small_case(11), small_case(12))


@bridge
def provoke(port, case):
    link = Link(port, timeout=TIMEOUT)
    identity = link.identify()
    assert identity.config_id == config().config_id
    assert identity.capacities == {name: getattr(config(), name) for name in identity.capacities}
    assert link.capacity == BUFFER_BYTES // 4 - 1
    words = case.compiled.words.tolist()
    for wanted, image in (
        ("the core met the error LOAD_CHECKSUM", [*words[:-9], words[-9] ^ 1 << 20, *words[-8:]]),
        ("the core met the error LOAD_CONFIG", [*words[:4], words[4] ^ 1, *words[5:]]),
        (f"the image of {len(words) - 1} words has no end", words[:-1]),
    ):
        try:
            link.load(image)
        except LinkError as error:
            assert str(error).startswith(wanted)
        else:
            raise AssertionError("the image was accepted")
        assert not link.status["loaded"]
    link.load(words)
    try:
        list(link.run([Step([(case.network.inputs, 1)])]))
    except LinkError as error:
        assert str(error).startswith(f"the core met the error INDEX, detail {case.network.inputs:#x}")
    else:
        raise AssertionError("the event was accepted")


@cocotb.test()
async def tells_what_is_wrong(dut):
    port = SimulatedPort(dut.rx, dut.tx, DIVISOR)
    await start(dut)
    await provoke(port, small_case(13))
    assert dut.loaded.value and dut.error.value


@pytest.mark.parametrize("name", CONFIGS)
def test_uart_top(simulate, name):
    simulate(design(CONFIGS[name]), parameters={"config": name})


def test_a_rate_that_the_clock_cannot_make():
    with pytest.raises(ValueError, match="^baud is 9000000; at a clock of 1.2e\\+07 Hz it must be at most 3000000$"):
        UartTop(CONFIGS["usual"], clock_hz=12e6, baud=9_000_000)
    gc.collect()  # the half-made component goes now, while the warning about it is ignored
