"""What the top forgets with a reset, whenever it comes, and goes on from with a state that was saved."""

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from golden import fixed, reference
from hw.bus.axi4stream import BUS_NULL_INDEX
from hw.top import Top
from tests.hw.top_bench import beat, events, restores
from tests.hw.top_cases import CONFIG, INPUTS, SIZES, Case, loaded


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


def test_top_reset(simulate):
    simulate(Top(CONFIG))
