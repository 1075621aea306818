"""The register block: every field of every register, what is not there, and what others rely on."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import cocotb
import pytest
from systemrdl import RDLCompiler

from hw.bus.registers import DESCRIPTION, WORD_ADDRESS_BITS, RegisterBlock, registers
from hw.config import CoreConfig
from hw.counters import counter_map
from hw.errors import Error
from tests.hw.bench import start
from tests.hw.pins import Pins
from tests.hw.runner import ROOT

ALL = (1 << 32) - 1

#: The promise to drivers: address, bits that can be read, bits that are written and kept, value after reset.
MAP = {
    "magic": (0x00, ALL, 0, 0x54524745),
    "version": (0x04, ALL, 0, 1),
    "config_id": (0x08, ALL, 0, 0),
    "lanes": (0x10, ALL, 0, 0),
    "rows": (0x14, ALL, 0, 0),
    "entries": (0x18, ALL, 0, 0),
    "widths": (0x1C, ALL, 0, 0),
    "control": (0x20, 0x107, 0x100, 0),
    "status": (0x24, 0x7, 0, 0),
    "error": (0x28, 0xF, 0, 0),
    "error_detail": (0x2C, ALL, 0, 0),
    "load_data": (0x30, 0, 0, 0),
    "state_select": (0x34, 0xFF03FFFF, 0xFF03FFFF, 0),
    "state_data": (0x38, 0x1FFFF, 0, 0),
    "counter_select": (0x3C, ALL, 0xFFFF, 0),
    "counter_low": (0x40, ALL, 0, 0),
    "counter_high": (0x44, 0xFFFF, 0, 0),
    "best_index": (0x48, 0x8000FFFF, 0, 0),
    "best_value": (0x4C, ALL, 0, 0),
    "interrupt_pending": (0x50, 0x3, 0, 0),
    "interrupt_enable": (0x54, 0x3, 0x3, 0),
    "lists": (0x58, ALL, 0, 0),
    "list_base": (0x5C, 0xFFFFF000, 0xFFFFF000, 0),
    "list_size": (0x60, 0x1FFFFFF, 0x1FFFFFF, 0),
    "ranking": (0x64, 0x1F1F, 0, 0),
    "rank_select": (0x68, 0xF, 0xF, 0),
    "rank_index": (0x6C, 0xFFFF, 0, 0),
    "rank_value": (0x70, ALL, 0, 0),
    "target": (0x74, 0xFFFF, 0xFFFF, 0),
    "logit_scale": (0x78, 0x1F03FFFF, 0x1F03FFFF, 0),
    "target_log2": (0x7C, 0xC3FFFFFF, 0, 0),
    "generate": (0x80, 0x0303FFFF, 0x0300FFFF, 0),
    "generate_value": (0x84, 0x1FFFF, 0x1FFFF, 0),
    "generate_high": (0x88, 0x1FFFF, 0x1FFFF, 0),
    "generate_end": (0x8C, 0xFFFF, 0xFFFF, 0),
    "generated": (0x90, 0x8000FFFF, 0, 0),
}
OF_STREAMED = ("list_base", "list_size")
OF_RANKED = [name for name, (address, *_) in MAP.items() if address > MAP["ranking"][0]]
WRITABLE = (
    "control", "load_data", "state_select", "counter_select", "interrupt_pending", "interrupt_enable", "list_base",
    "list_size", "rank_select", "target", "logit_scale", "generate", "generate_value", "generate_high", "generate_end",
)  # fmt: skip

#: What the hardware supplies: lowest bit and width of each field.
SUPPLIED = {
    ("version", "revision"): (16, 16),
    ("config_id", "config_id"): (0, 32),
    ("lanes", "lanes"): (0, 8),
    ("lanes", "cell_units"): (8, 8),
    ("lanes", "layers"): (16, 8),
    ("lanes", "queue_depth"): (24, 8),
    ("lists", "gap_bits"): (0, 4),
    ("lists", "port_bits"): (4, 12),
    ("lists", "lists"): (16, 16),
    ("ranking", "largest"): (0, 5),
    ("ranking", "found"): (8, 5),
    ("rank_index", "index"): (0, 16),
    ("rank_value", "value"): (0, 32),
    ("target_log2", "log2"): (0, 26),
    ("target_log2", "saturated"): (30, 1),
    ("target_log2", "found"): (31, 1),
    ("generated", "count"): (0, 16),
    ("generated", "busy"): (31, 1),
    ("rows", "rows"): (0, 16),
    ("rows", "sources"): (16, 16),
    ("entries", "entries"): (0, 32),
    ("widths", "weight_bits"): (0, 8),
    ("widths", "y_bits"): (8, 8),
    ("widths", "value_bits"): (16, 8),
    ("widths", "acc_bits"): (24, 8),
    ("status", "loaded"): (0, 1),
    ("status", "idle"): (1, 1),
    ("status", "error"): (2, 1),
    ("error", "code"): (0, 4),
    ("error_detail", "detail"): (0, 32),
    ("state_data", "h"): (0, 16),
    ("state_data", "fires"): (16, 1),
    ("counter_select", "count"): (16, 16),
    ("counter_low", "low"): (0, 32),
    ("counter_high", "high"): (0, 16),
    ("best_index", "index"): (0, 16),
    ("best_index", "valid"): (31, 1),
    ("best_value", "value"): (0, 32),
}


class Bench(Pins):
    """Access by byte address; answers of the cycle of the access."""

    def __init__(self, dut):
        super().__init__(dut, RegisterBlock())

    async def read(self, address: int) -> tuple[int, int]:
        await self.cycle(bus__read=1, bus__read_address=address >> 2)
        self.set(bus__read=0)
        return self.get("bus__read_data"), self.get("bus__read_ok")

    async def write(self, address: int, word: int) -> int:
        await self.cycle(bus__write=1, bus__write_address=address >> 2, bus__write_data=word)
        self.set(bus__write=0)
        return self.get("bus__write_ok")

    async def contents(self) -> dict[str, int]:
        return {name: (await self.read(address))[0] for name, (address, *_) in MAP.items()}


@cocotb.test()
async def starts_with_the_reset_values(dut):
    bench = Bench(dut)
    await start(dut)
    for name, (address, readable, _, reset) in MAP.items():
        assert await bench.read(address) == (reset, int(readable != 0)), name


@cocotb.test()
async def writes_what_can_be_written_and_nothing_else(dut):
    bench = Bench(dut)
    await start(dut)
    rng = random.Random(cocotb.RANDOM_SEED)
    wanted = {name: reset for name, (*_, reset) in MAP.items()}
    for _ in range(200):
        name, word = rng.choice(list(MAP)), rng.choice([0, ALL, rng.getrandbits(32)])
        address, _, kept, _ = MAP[name]
        assert await bench.write(address, word) == (name in WRITABLE), name
        await bench.cycle()  # bits that clear themselves are gone after this
        if kept:
            wanted[name] = word & kept
        assert await bench.contents() == wanted, name


@cocotb.test()
async def answers_for_no_other_address(dut):
    bench = Bench(dut)
    await start(dut)
    before = await bench.contents()
    for address in set(range(0, 4 << WORD_ADDRESS_BITS, 4)) - {address for address, *_ in MAP.values()}:
        assert await bench.read(address) == (0, 0), hex(address)
        assert await bench.write(address, ALL) == 0, hex(address)
    assert await bench.contents() == before


@cocotb.test()
async def shows_what_the_hardware_supplies(dut):
    bench = Bench(dut)
    await start(dut)
    rng = random.Random(cocotb.RANDOM_SEED)
    wanted = {name: reset for name, (*_, reset) in MAP.items()}
    for (name, field), (low, width) in SUPPLIED.items():
        value = rng.getrandbits(width) | 1 << (width - 1)
        bench.set(**{f"{name}__{field}": value})
        wanted[name] |= value << low
    assert await bench.contents() == wanted


@cocotb.test()
async def gives_control_to_the_hardware(dut):
    bench = Bench(dut)
    await start(dut)
    await bench.write(MAP["control"][0], 0x105)
    bits = ("reset", "clear_error", "clear_counters", "argmax_only")
    await bench.cycle()
    assert [bench.get(f"control__{bit}") for bit in bits] == [1, 0, 1, 1]
    await bench.cycle()
    assert [bench.get(f"control__{bit}") for bit in bits] == [0, 0, 0, 1], "pulses last a cycle"

    await bench.write(MAP["state_select"][0], 0xAB01_2345)
    await bench.write(MAP["counter_select"][0], 0xFFFF_0123)
    await bench.cycle()
    assert (bench.get("state_select__cell"), bench.get("state_select__unit")) == (0xAB, 0x12345)
    assert bench.get("counter_select__selected") == 0x0123


@cocotb.test()
async def tells_each_word_to_load_once(dut):
    bench = Bench(dut)
    await start(dut)
    seen = []

    async def write_and_watch(address, word):
        await bench.write(address, word)
        if bench.get("load_data__word_written"):
            seen.append(bench.get("load_data__word"))

    words = [5, 5, ALL, 0, 0x1234_5678]
    for word in words:
        await write_and_watch(MAP["load_data"][0], word)
    for _ in range(3):
        await write_and_watch(MAP["interrupt_enable"][0], 9)
    assert seen == words


@cocotb.test()
async def tells_reads_that_matter(dut):
    bench = Bench(dut)
    await start(dut)
    for name in MAP:
        await bench.read(MAP[name][0])
        assert bench.get("counter_low__low_read") == (name == "counter_low")
        assert bench.get("best_index__index_read") == (name == "best_index")
    bench.set(bus__read_address=MAP["counter_low"][0] >> 2)
    await bench.cycle()
    assert not bench.get("counter_low__low_read"), "an address alone is no read"


@cocotb.test()
async def keeps_pending_bits_until_they_are_cleared(dut):
    bench = Bench(dut)
    await start(dut)
    address = MAP["interrupt_pending"][0]
    await bench.cycle(interrupt_pending__step_set=1, interrupt_pending__error_set=1)
    await bench.cycle(interrupt_pending__step_set=0, interrupt_pending__error_set=0)
    assert (await bench.read(address))[0] == 0b11
    await bench.write(address, 0b10)
    assert (await bench.read(address))[0] == 0b01
    await bench.write(address, 0)
    assert (await bench.read(address))[0] == 0b01
    bench.set(interrupt_pending__step_set=1)
    await bench.write(address, 0b01)
    await bench.cycle(interrupt_pending__step_set=0)
    assert (await bench.read(address))[0] == 0b01, "set in the cycle in which it was cleared"


def test_register_block(simulate):
    simulate(RegisterBlock())


def test_map_is_complete():
    assert {register.name: register.address for register in registers()} == {
        name: address for name, (address, *_) in MAP.items()
    }


@pytest.mark.parametrize("streamed", (False, True))
@pytest.mark.parametrize("ranked", (False, True))
def test_a_core_has_the_registers_that_it_needs(streamed, ranked):
    lacks = {*(() if streamed else OF_STREAMED), *(() if ranked else OF_RANKED)}
    block = RegisterBlock(STREAMED=streamed, RANKED=ranked)
    assert [register.name for register in block.registers] == [name for name in MAP if name not in lacks]
    assert not lacks & set(block.signature.members)


def test_error_codes_are_those_of_the_hardware():
    compiler = RDLCompiler()
    compiler.compile_file(str(DESCRIPTION))
    codes = compiler.elaborate().top.get_child_by_name("ERROR").get_child_by_name("code").get_property("encode")
    assert {code.name: code.value for code in codes} == {error.name: error.value for error in Error}


def test_error_codes_are_documented():
    text = (ROOT / "docs" / "interfaces.md").read_text()
    codes = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", text, re.MULTILINE)
    assert [(int(code), name) for code, name in codes] == [(error.value, error.name) for error in list(Error)[1:]]


def test_counters_are_documented():
    """The order in which docs/interfaces.md numbers them, for 2 layers and 2 lanes."""
    config = CoreConfig(layers=2, lanes=2)
    section = (ROOT / "docs" / "interfaces.md").read_text().split("### Counters")[1].split("\n## ")[0]
    names = re.findall(r"^\| `([a-z_<>]+)` \|", section, re.MULTILINE)
    per_lane = [name for name in names if "<lane>" in name]
    numbered = [name for name in names if "<" not in name]
    for name in names:
        if "<group>" in name:
            numbered += [name.replace("<group>", str(group)) for group in range(3)]
    numbered += [name.replace("<lane>", str(lane)) for lane in range(2) for name in per_lane]
    assert numbered == list(counter_map(config))


def test_documentation_is_current(tmp_path):
    command = [sys.executable, "-m", "peakrdl", "markdown", "hw/registers.rdl", "-o", str(tmp_path / "registers.md")]
    subprocess.run(command, cwd=ROOT, check=True)
    current = (tmp_path / "registers.md").read_text()
    assert (ROOT / "docs" / "registers.md").read_text() == current, "make it again: make registers"


def test_c_header_is_current(tmp_path):
    path = "firmware/driver/egret_registers.h"
    command = ["c-header", "hw/registers.rdl", "--std", "gnu99", "-o", str(tmp_path / Path(path).name)]
    subprocess.run([sys.executable, "-m", "peakrdl", *command], cwd=ROOT, check=True)
    current = (tmp_path / Path(path).name).read_text()
    assert (ROOT / path).read_text() == current, "make it again: make registers"


def test_html_has_every_register_and_field(tmp_path):
    command = ["html", "hw/registers.rdl", "--title", "Egret registers", "-o", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "peakrdl", *command], cwd=ROOT, check=True)
    nodes = json.loads((tmp_path / "data" / "ral-data-0.json").read_text())
    found = {
        (node["name"].lower(), int(node["offset"], 16)): {(field["name"], field["lsb"]) for field in node["fields"]}
        for node in nodes
        if "fields" in node
    }
    assert found == {
        (register.name, register.address): {(field.name, field.low) for field in register.fields}
        for register in registers()
    }


@pytest.mark.parametrize(
    "properties, message",
    [
        ("sw = r; hw = r;", "chip.TEST.value: sw=r, hw=r, reset None, onwrite None, [] is no"),
        ("sw = rw; hw = rw;", "chip.TEST.value: sw=rw, hw=rw, reset None, onwrite None, [] is no"),
        ("sw = rw; hw = r; rclr; reset = 0;", "chip.TEST.value: sw=rw, hw=r, reset 0, onwrite None, ['rclr'] is no"),
        (
            "sw = rw; hw = r; onwrite = wot; reset = 0;",
            "chip.TEST.value: sw=rw, hw=r, reset 0, onwrite OnWriteType.wot, [] is no",
        ),
    ],
)
def test_unsupported_fields_are_refused(tmp_path, properties, message):
    path = tmp_path / "chip.rdl"
    path.write_text(f"addrmap chip {{ reg {{ field {{ {properties} }} value[3:0]; }} TEST @ 0; }};")
    with pytest.raises(ValueError) as refusal:
        registers(path)
    assert str(refusal.value) == f"{message} kind of field that the register block builds"
