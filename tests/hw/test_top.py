"""The top against the oracle, through its buses only: what it computes, counts, refuses, forgets and keeps."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiResp

from golden import fixed, reference
from golden.fanout import compile
from golden.macs import theoretical_events, theoretical_macs
from hw.bus.axi4stream import BUS_NULL_INDEX
from hw.config import CoreConfig
from hw.counters import counter_map
from hw.errors import Error
from hw.top import Top
from tests.hw.top_bench import Host, Packet, beat, events, restores
from tests.networks import random_fixed_network, random_inputs

CONFIG = CoreConfig(
    lanes=4, cell_units=2, queue_depth=8, rows=16, entries=1024, sources=64, layers=3, acc_bits=24
)  # fmt: skip
SIZES = {"readout": ([14, 9], 7), "events": ([13], None)}  # units of the layers, outputs
INPUTS = 8


class Case:
    """A random network, sequences for it, and what the oracle says."""

    def __init__(self, kind: str = "readout", *, seed: int = 0, sequences: int = 2, steps: int = 5):
        rng = np.random.default_rng((cocotb.RANDOM_SEED, seed))
        layers, outputs = SIZES[kind]
        self.network = random_fixed_network(rng, inputs=INPUTS, layers=layers, outputs=outputs, weight_density=0.3)
        self.compiled = compile(self.network, CONFIG.capacity)
        self.words = [int(word) for word in self.compiled.words]
        self.inputs = random_inputs(rng, self.network, steps, sequences, 0.5)
        self.trace = reference.run(self.network, self.inputs)
        self.steps = [(t, s) for s in range(sequences) for t in range(steps)]  # as they are sent
        self._last = steps - 1

    def ending(self, step: tuple[int, int]) -> bool:
        return step[0] == self._last

    def packet(self, step: tuple[int, int]) -> Packet:
        """What the core has to send for a step."""
        if self.trace.logits is not None:
            values = dict(enumerate(self.trace.logits[step].tolist()))
        else:
            values = {unit: y for unit, y in enumerate(self.trace.y[-1][step].tolist()) if y}
        return Packet(values, self.ending(step))

    def states(self, step: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(h[step], fires[step]) for h, fires in zip(self.trace.h, self.trace.fires, strict=True)]

    def send(self, host: Host, *steps: tuple[int, int]) -> None:
        for step in steps:
            host.send(events(self.inputs[step]), ending=self.ending(step))

    async def check(self, host: Host, *steps: tuple[int, int]) -> None:
        for step in steps:
            assert await host.receive() == self.packet(step), f"step {step}"


def best(packet: Packet) -> tuple[int, int] | None:
    return min(packet.values.items(), key=lambda item: (-item[1], item[0]), default=None)


async def loaded(dut, case: Case, *, stall: float = 0.0) -> Host:
    host = await Host.start(dut, stall=stall)
    await host.load(case.words)
    assert (await host.read("status"))["loaded"]
    assert await host.error() == (0, 0)
    return host


@cocotb.test()
async def tells_what_it_is(dut):
    host = await Host.start(dut)
    assert (await host.read("magic"))["value"] == int.from_bytes(b"EGRT", "little")
    assert (await host.read("config_id"))["config_id"] == CONFIG.config_id
    for register in ("lanes", "rows", "entries", "widths"):
        for name, value in (await host.read(register)).items():
            assert value == getattr(CONFIG, name), name
    assert (await host.read("counter_select"))["count"] == len(counter_map(CONFIG))
    assert await host.read("status") == {"loaded": 0, "idle": 1, "error": 0}


@cocotb.test()
@cocotb.parametrize(kind=list(SIZES), stall=[0.0, 0.4])
async def computes_what_the_oracle_computes(dut, kind, stall):
    case = Case(kind, seed=1)
    host = await loaded(dut, case, stall=stall)
    await host.write("control", clear_counters=1)
    for step in case.steps:
        case.send(host, step)
        await case.check(host, step)
        await host.wait_idle()
        assert await host.best() == best(case.packet(step))
        if step[0] % 2 == 0:
            for (h, fires), (wanted_h, wanted_fires) in zip(
                await host.read_states(case.compiled), case.states(step), strict=True
            ):
                np.testing.assert_array_equal(h, wanted_h)
                np.testing.assert_array_equal(fires, wanted_fires)
    assert await host.error() == (0, 0)

    numbers = counter_map(CONFIG)
    ends = np.zeros(case.inputs.shape[:2], bool)
    ends[-1] = True
    counted_events = theoretical_events(case.trace, case.inputs)
    counted_macs = theoretical_macs(case.network, case.trace, case.inputs, sequence_end=ends)
    for group in range(counted_events.shape[2]):
        assert await host.counter(numbers[f"events_{group}"]) == counted_events[..., group].sum()
        assert await host.counter(numbers[f"macs_{group}"]) == counted_macs[..., group].sum()
        assert await host.counter(numbers[f"step_macs_{group}"]) == counted_macs[step][group]
    assert await host.counter(numbers["steps"]) == len(case.steps)
    silent = sum((fires & (y == 0)).sum() for fires, y in zip(case.trace.fires, case.trace.y, strict=True))
    assert await host.counter(numbers["silent_fires"]) == silent
    busy = [await host.counter(numbers[f"lane_{lane}_busy"]) for lane in range(CONFIG.lanes)]
    assert sum(busy) == counted_macs.sum()
    await host.write("control", clear_counters=1)
    assert await host.counter(numbers["steps"]) == 0


@cocotb.test()
@cocotb.parametrize(kind=list(SIZES), stall=[0.0, 0.4])
async def overlaps_steps(dut, kind, stall):
    case = Case(kind, seed=2, sequences=4)
    host = await loaded(dut, case, stall=stall)
    case.send(host, *case.steps)
    await case.check(host, *case.steps)


@cocotb.test()
async def waits_for_the_output(dut):
    case = Case(seed=3, sequences=3)
    host = await loaded(dut, case)
    await host.write("control", clear_counters=1)
    host.sink.pause = True
    case.send(host, *case.steps)
    await ClockCycles(dut.aclk, 1200)
    host.sink.pause = False
    await case.check(host, *case.steps)
    await host.wait_idle()
    assert await host.counter(counter_map(CONFIG)["output_stalls"]) >= 1000


@cocotb.test()
@cocotb.parametrize(kind=list(SIZES))
async def sends_only_the_largest(dut, kind):
    case = Case(kind, seed=4)
    host = await loaded(dut, case)
    await host.write("control", argmax_only=1)
    case.send(host, *case.steps)
    for step in case.steps:
        whole = case.packet(step)
        wanted = dict([best(whole)]) if whole.values else {}
        assert await host.receive() == Packet(wanted, whole.ending)


@cocotb.test()
async def refuses_a_damaged_image(dut):
    case = Case(seed=5)
    host = await Host.start(dut)
    damaged = list(case.words)
    damaged[-9] ^= 1 << 20  # a bias
    await host.load(damaged)
    assert not (await host.read("status"))["loaded"]
    assert (await host.error())[0] == Error.LOAD_CHECKSUM.value
    await host.write("control", reset=1)
    assert not (await host.read("status"))["error"]
    await host.load(case.words)
    case.send(host, *case.steps)
    await case.check(host, *case.steps)


@cocotb.test()
async def refuses_an_image_for_another_core(dut):
    case = Case(seed=5)
    host = await Host.start(dut)
    words = list(case.words)
    words[4] ^= 1
    await host.load(words)
    assert await host.error() == (Error.LOAD_CONFIG.value, words[4])
    assert not (await host.read("status"))["loaded"]


@cocotb.test()
async def forgets_half_an_image(dut):
    case, other = Case("events", seed=6), Case(seed=7)
    host = await loaded(dut, other)
    for end in (1, 2, 3, len(case.words) // 2, len(case.words) - 1):
        await host.load(case.words[:end])
        assert not (await host.read("status"))["loaded"]
        await host.write("control", reset=1)
    await host.load(case.words)
    assert (await host.read("status"))["loaded"]
    case.send(host, *case.steps)
    await case.check(host, *case.steps)
    assert (await host.error())[0] == 0


@cocotb.test()
async def refuses_events_without_a_network(dut):
    case = Case(seed=5)
    host = await Host.start(dut)
    host.send([beat(3, 5), beat(4, 5)])
    await ClockCycles(dut.aclk, 20)
    assert await host.error() == (Error.NOT_LOADED.value, 3)
    await host.write("control", clear_error=1)
    assert (await host.error())[0] == 0
    await host.load(case.words)
    case.send(host, *case.steps)
    await case.check(host, *case.steps)


@cocotb.test()
async def drops_events_it_cannot_take(dut):
    case = Case(seed=8)
    host = await loaded(dut, case)
    limit = 1 << (CONFIG.value_bits - 1)
    for bad, error in (
        (beat(INPUTS, 5), (Error.INDEX, INPUTS)),
        (beat(40_000, 5), (Error.INDEX, 40_000)),
        (beat(1 << 20, 5), (Error.INDEX, 1 << 20)),
        (beat(0, limit), (Error.VALUE, limit)),
        (beat(0, -limit - 1), (Error.VALUE, -limit - 1)),
        (beat(0, 1 << 31), (Error.VALUE, 1 << 31)),
    ):
        for place in (0, 1, None):  # the first, in the middle, and with the end of the step
            for step in case.steps[:5]:
                beats = events(case.inputs[step])
                beats.insert(len(beats) if place is None else place, bad)
                host.send(beats, ending=case.ending(step))
            await case.check(host, *case.steps[:5])
            assert await host.error() == (error[0].value, error[1] & 0xFFFFFFFF)
            await host.write("control", clear_error=1)
            assert (await host.error())[0] == 0


@cocotb.test()
async def keeps_the_first_error(dut):
    host = await Host.start(dut)
    assert await host.write_word(0x08, 1) == AxiResp.SLVERR
    assert await host.write_word(0xFF0, 1) == AxiResp.SLVERR
    assert await host.error() == (Error.REGISTER.value, 0x08)
    await host.write("control", clear_error=1)
    assert await host.write_word(0xFF0, 1) == AxiResp.SLVERR
    assert await host.error() == (Error.REGISTER.value, 0xFF0)


@cocotb.test()
async def refuses_parts_of_words_and_what_is_not_there(dut):
    host = await Host.start(dut)
    await host.write("state_select", cell=1, unit=5)
    for address, data in ((0x34, b"\xff"), (0x36, b"\xff\xff"), (0x35, b"\xff\xff\xff")):
        assert (await host.axi.write(address, data)).resp == AxiResp.SLVERR
        assert await host.error() == (Error.REGISTER.value, address)
        await host.write("control", clear_error=1)
    assert await host.read("state_select") == {"unit": 5, "cell": 1}
    for address in (0x0C, 0x30, 0x5C, 0x60, 0x68, 0x90, 0xFFC):
        assert await host.read_word(address) == (0, AxiResp.SLVERR)
    assert (await host.error())[0] == Error.NONE.value


@cocotb.test()
async def starts_anew_after_a_reset_at_any_time(dut):
    case = Case(seed=9, sequences=1, steps=3)
    host = await loaded(dut, case)

    async def send_first():
        await host.wait_idle()
        case.send(host, case.steps[0])
        await host.source.wait()

    await send_first()
    latency = 0
    while not dut.m_axis_tvalid.value:
        await RisingEdge(dut.aclk)
        latency += 1
    # Above all, in every cycle around that in which the first output appears; a write takes less than 20 cycles.
    for delay in (*range(0, latency - 20, 7), *range(max(0, latency - 20), latency + 10)):
        await host.write("control", reset=1)
        await send_first()
        await ClockCycles(dut.aclk, delay)
        await host.write("control", reset=1)
        await host.wait_idle()
        while not host.sink.empty():
            host.sink.recv_nowait()
        case.send(host, *case.steps)
        await case.check(host, *case.steps)
    assert (await host.error())[0] == 0


@cocotb.test()
async def begins_a_step_after_a_reset_within_its_input(dut):
    case = Case(seed=10, sequences=1, steps=1)
    host = await loaded(dut, case)
    beats = events(case.inputs[0, 0])
    for _ in range(5):
        taken = 0
        host.send(beats * 5, ending=True)
        while taken < 7:
            await RisingEdge(dut.aclk)
            taken += bool(dut.s_axis_tvalid.value and dut.s_axis_tready.value)
        host.source.pause = True
        while dut.s_axis_tvalid.value:
            await RisingEdge(dut.aclk)
            taken += bool(dut.s_axis_tvalid.value and dut.s_axis_tready.value)
        await host.write("control", reset=1)
        host.source.pause = False
        sums = np.zeros((1, 1, INPUTS), int)
        for data in (beats * 5)[taken:]:
            sums[0, 0, data & 0xFF] += case.inputs[0, 0, data & 0xFF]
        wide = reference.run(_wider_inputs(case.network), sums)
        assert (await host.receive()).values == dict(enumerate(wide.logits[0, 0].tolist()))


def _wider_inputs(network):
    """The same network, for inputs that add up to more than one event's value."""
    return type(network)(
        network.layers, network.readout, weight_bits=network.weight_bits, y_bits=network.y_bits, input_bits=16,
        input_exponent=network.input_exponent,
    )  # fmt: skip


@cocotb.test()
async def closes_a_packet_that_a_reset_cuts(dut):
    case = Case(seed=11)
    host = await loaded(dut, case)
    for _ in range(3):
        case.send(host, case.steps[0])
        while not (dut.m_axis_tvalid.value and dut.m_axis_tready.value):
            await RisingEdge(dut.aclk)
        host.sink.pause = True
        await ClockCycles(dut.aclk, 50)
        assert dut.m_axis_tvalid.value
        await host.write("control", reset=1)
        await ClockCycles(dut.aclk, 50)
        assert not (await host.read("status"))["idle"]
        host.sink.pause = False
        frame = await host.sink.recv(compact=False)
        assert frame.tdata[-1] & 0xFFFFFFFF == BUS_NULL_INDEX and frame.tuser[-1] == 1
        whole = case.packet(case.steps[0]).values
        assert 0 < len(frame.tdata) - 1 < len(whole)
        for data in frame.tdata[:-1]:
            assert beat(data & 0xFF, whole[data & 0xFF]) == data
        await host.wait_idle()
        assert host.sink.empty()
    case.send(host, *case.steps)
    await case.check(host, *case.steps)


@cocotb.test()
@cocotb.parametrize(kind=list(SIZES))
async def goes_on_from_a_saved_state(dut, kind):
    case = Case(kind, seed=12, sequences=1, steps=8)
    host = await loaded(dut, case)
    half = 3
    case.send(host, *case.steps[: half + 1])
    await case.check(host, *case.steps[: half + 1])
    await host.wait_idle()
    states = await host.read_states(case.compiled)
    ys = []
    for layer, (h, fires) in zip(case.network.layers, states, strict=True):
        ys.append(fires * fixed.event_value(h + layer.threshold.astype(int), CONFIG.y_bits))
    for y, wanted in zip(ys, case.trace.y, strict=True):
        np.testing.assert_array_equal(y, wanted[half, 0])

    # Something else runs meanwhile, and the memories of the cells are full of it.
    await host.write("control", reset=1)
    other = Case(kind, seed=12, sequences=2, steps=3)
    case.send(host, *case.steps[:2])
    await case.check(host, *case.steps[:2])
    await host.wait_idle()
    await host.write("control", reset=1)
    assert other.network is not case.network

    await host.write_states(case.compiled, states)
    first, *rest = case.steps[half + 1 :]
    host.send(restores(case.compiled, ys) + events(case.inputs[first]), ending=case.ending(first))
    case.send(host, *rest)
    await case.check(host, first, *rest)
    await host.wait_idle()
    for (h, _), (wanted, _) in zip(await host.read_states(case.compiled), case.states(rest[-1]), strict=True):
        np.testing.assert_array_equal(h, wanted)
    assert await host.error() == (0, 0)


@cocotb.test()
async def interrupts(dut):
    case = Case(seed=13)
    host = await loaded(dut, case)
    assert await host.read("interrupt_pending") == {"step": 0, "error": 0}
    case.send(host, case.steps[0])
    await case.check(host, case.steps[0])
    assert await host.read("interrupt_pending") == {"step": 1, "error": 0}
    assert not dut.irq.value
    await host.write("interrupt_enable", step=1)
    assert dut.irq.value
    await host.write("interrupt_pending", step=1)
    assert not dut.irq.value

    host.send([beat(INPUTS, 1)])
    await host.receive()
    assert await host.read("interrupt_pending") == {"step": 1, "error": 1}
    await host.write("interrupt_enable", error=1)
    await host.write("interrupt_pending", error=1)
    assert dut.irq.value, "the error is still there"
    await host.write("control", clear_error=1)
    await host.write("interrupt_pending", error=1)
    assert not dut.irq.value
    assert await host.read("interrupt_pending") == {"step": 1, "error": 0}


@pytest.fixture(scope="module")
def top():
    return Top(CONFIG)


def test_top(simulate, top):
    simulate(top)
