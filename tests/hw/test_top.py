"""The top against the oracle, through its buses only: what it computes, counts, sends and says of itself."""

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles

from golden.macs import theoretical_events, theoretical_macs
from hw.counters import counter_map
from hw.top import Top
from tests.hw.top_bench import Host, Packet, beat
from tests.hw.top_cases import CONFIG, INPUTS, SIZES, Case, best, loaded


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
    await host.write("interrupt_enable")
    assert not dut.irq.value, "none is enabled"
    await host.write("interrupt_enable", error=1)
    await host.write("interrupt_pending", error=1)
    assert dut.irq.value, "the error is still there"
    await host.write("control", clear_error=1)
    await host.write("interrupt_pending", error=1)
    assert not dut.irq.value
    assert await host.read("interrupt_pending") == {"step": 1, "error": 0}


def test_top(simulate):
    simulate(Top(CONFIG))
