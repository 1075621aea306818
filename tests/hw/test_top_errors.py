"""What the top refuses, of images, events and registers, and that it works on as if it had not been."""

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiResp

from hw.errors import Error
from hw.top import Top
from tests.hw.top_bench import Host, beat, events
from tests.hw.top_cases import CONFIG, INPUTS, Case, loaded


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


def test_top_errors(simulate):
    simulate(Top(CONFIG))
