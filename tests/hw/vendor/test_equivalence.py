"""Instances of device blocks against their generic twins, cycle by cycle, side by side in one simulation.

The blocks are our models of them, written after the vendors' guides (``models/``).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from amaranth import Value, signed, unsigned
from amaranth.lib.wiring import In

from hw.emit import emit
from hw.vendor import DEVICES
from hw.vendor.generic import Choice, Multiplier, PartedMemory, PipelinedMemory, Relay, SinglePortMemory
from hw.vendor.multiply_add import MultiplyAccumulate, MultiplyAdd
from hw.vendor.single_port import RowMemory
from sim.cocotb_model import use_verilator
from tests.hw.pins import Together

MODELS = Path(__file__).parent / "models"
ALL_OPERANDS = 1 << 18  # so many pairs of operands are all tried
CYCLES = 300_000
TARGETS = {"ecp5": DEVICES["lfe5u-85f"], "ice40": DEVICES["up5k"], "gowin": DEVICES["gw2ar-18"]}

#: Widths and depths: each geometry of a block alone, columns of several, stacks, and depths that are no power of two.
NINES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384), (24, 600), (40, 40), (24, 20000), (5, 16))
EIGHTS = ((16, 256), (8, 512), (4, 1024), (2, 2048), (24, 600), (27, 512), (5, 13), (13, 2100))
MEMORIES = {"ecp5": NINES, "ice40": EIGHTS, "gowin": NINES}
ROMS = ((27, 512), (1, 700), (3, 5000), (9, 100))
PARTED = ((24, 4, 200), (9, 4, 256), (27, 3, 512), (5, 7, 100), (24, 4, 600), (24, 4, 16))  # parts, how many, depth
DISTRIBUTED = ((24, 100), (32, 128), (5, 17))  #: memories that are to be distributed RAM, however deep
SINGLE_PORTS = ((16, 16384), (24, 20000), (5, 40))
MULTIPLIERS = (
    (signed(8), signed(17)), (signed(4), signed(9)), (unsigned(15), signed(18)), (unsigned(15), signed(17)),
    (unsigned(11), unsigned(7)), (signed(11), signed(7)), (signed(6), unsigned(11)), (signed(16), signed(16)),
    (unsigned(16), unsigned(16)), (unsigned(16), signed(16)), (unsigned(17), signed(12)), (unsigned(17), unsigned(16)),
    (signed(17), unsigned(16)), (signed(18), signed(15)), (signed(18), signed(18)), (unsigned(18), signed(18)),
    (signed(20), signed(9)), (unsigned(1), signed(1)),
)  # fmt: skip

MULTIPLY_ADDS = ((signed(8), signed(9), 24), (signed(8), signed(16), 32), (unsigned(16), signed(16), 30))
ROW_MEMORIES = (5, 14, 15)  #: widths of an address


def row(k: int, width: int) -> int:
    """Return something to fill a ROM with, all bits busy."""
    return k * 0x9E3779B97F4A7C15 >> 7 & (1 << width) - 1


def memory_check(ports: PipelinedMemory | PartedMemory) -> str:
    """Write every row, then write and read at random, near one place for a while, with ever fewer reads enabled."""
    width, depth = ports.shape, ports.depth
    bits = len(ports.read_addr)
    single, enables = int(isinstance(ports, SinglePortMemory)), len(ports.write_en)
    rom = int(isinstance(ports, PipelinedMemory) and bool(ports.init))
    return f"""
    reg [{bits - 1}:0] base;
    integer known = 0;  // rows read since the last write of a single port
    always @(negedge clk) begin
        if (cycle > {depth} && known >= 2) begin
            checked = checked + 1;
            if (twin__read_data !== block__read_data) wrong = wrong + 1;
        end
        read_en = cycle >= {depth} && $urandom % 16 < 16 >> cycle / 4096 % 4;
        write_en = cycle < {depth} ? {enables}'('1) : $urandom % 2 == 0 ? {enables}'($urandom) : 0;
        if (cycle % 64 == 0) base = {bits}'({{$urandom}} % {depth});
        read_addr = {bits}'(({{16'd0, base}} + {{$urandom}} % 8) % {depth});
        write_addr = {bits}'(cycle < {depth} ? cycle : ({{16'd0, base}} + {{$urandom}} % 8) % {depth});
        write_data = {width}'({{$urandom, $urandom}});
        if (!{single} && write_en != 0 && read_addr == write_addr) read_en = 0;  // not allowed
        if ({single} && write_en != 0) known = 0;
        else if (read_en || {rom}) known = known + 1;
    end
"""


def row_memory_check(ports: RowMemory) -> str:
    """Write every row, then write and read at random, near one place for a while; a row read after a write is any."""
    bits = len(ports.addr)
    return f"""
    reg [{bits - 1}:0] base;
    always @(negedge clk) begin
        if (cycle > {1 << bits} && !write_en) begin
            checked = checked + 1;
            if (twin__read_data !== block__read_data) wrong = wrong + 1;
        end
        if (cycle % 64 == 0) base = {bits}'($urandom);
        write_en = cycle < {1 << bits} || $urandom % 4 == 0;
        addr = cycle < {1 << bits} ? {bits}'(cycle) : base + {bits}'($urandom % 8);
        write_data = 16'($urandom);
    end
"""


def draw(name: str, width: int) -> str:
    """Return a statement that makes a number one of the extremes of its width, or anything."""
    return f"""
        case ($urandom % 6)
            0: {name} = {{{width}{{$urandom % 2 == 0}}}};
            1: {name} = {width}'d1 << {width - 1};
            2: {name} = ~({width}'d1 << {width - 1});
            3: {name} = {width}'({{$urandom}} % 2);
            default: {name} = {width}'($urandom);
        endcase"""


def multiply_add_check(ports: MultiplyAdd) -> str:
    """Extremes and random numbers; the second factor waits, and results are cleared for some cycles running."""
    return f"""
    always @(negedge clk) begin
        if (cycle > 8) begin
            checked = checked + 1;
            if (twin__o !== block__o) wrong = wrong + 1;
        end
        {draw("a", len(ports.a))}
        {draw("b", len(ports.b))}
        {draw("addend", len(ports.addend))}
        b_en = cycle < 4 || $urandom % 4 == 0;
        clear <= cycle < 4 || $urandom % 5 == 0;  // acts at once, but not on what was compared above
    end
"""


def multiply_accumulate_check(ports: MultiplyAccumulate) -> str:
    """Everything that an accumulator does, in any order; it overflows at times."""
    return f"""
    always @(negedge clk) begin
        if (cycle > 8) begin
            checked = checked + 1;
            if (twin__o !== block__o) wrong = wrong + 1;
        end
        {draw("a", len(ports.a))}
        {draw("b", len(ports.b))}
        {draw("constant", len(ports.constant))}
        action = cycle < 4 ? 2'd1 : 2'($urandom);
    end
"""


def multiplier_check(ports: Multiplier) -> str:
    """Multiply extremes and random numbers, or, where there are few enough, all there are; then let operands wait."""

    a, b = len(ports.a), len(ports.b)
    stimulus = f"{{a, b}} = {a + b}'(cycle);" if 1 << a + b <= ALL_OPERANDS else draw("a", a) + draw("b", b)
    return f"""
    always @(negedge clk) begin
        if (cycle > 4) begin
            checked = checked + 1;
            if (twin__product !== block__product) wrong = wrong + 1;
        end
        en = cycle < {ALL_OPERANDS} || $urandom % 4 != 0;
        {stimulus}
    end
"""


def relay_check(ports: Relay) -> str:
    """Pass anything on."""
    return f"""
    always @(negedge clk) begin
        if (cycle > 0) begin
            checked = checked + 1;
            if (twin__o !== block__o) wrong = wrong + 1;
        end
        i = {len(ports.i)}'($urandom);
    end
"""


def choice_check(ports: Choice) -> str:
    """Choose from anything; half a cycle is enough to settle."""
    words = " ".join(f"words__{k} = {len(ports.o)}'($urandom);" for k in range(4))
    return f"""
    always @(negedge clk) begin
        {words}
        select = 2'($urandom);
    end
    always @(posedge clk) begin
        checked = checked + 1;
        if (twin__o !== block__o) wrong = wrong + 1;
    end
"""


def cases(family: str):
    """Yield name, component and check of all that is compared for a family."""
    for width, depth in MEMORIES[family]:
        yield f"{family} memory {width}x{depth}", PipelinedMemory(shape=width, depth=depth), memory_check
    for width, depth in ROMS:
        init = [row(k, width) for k in range(depth)]
        yield f"{family} rom {width}x{depth}", PipelinedMemory(shape=width, depth=depth, init=init), memory_check
    for width, parts, depth in PARTED:
        memory = PartedMemory(shape=width, parts=parts, depth=depth)
        yield f"{family} parted memory {parts}x{width}x{depth}", memory, memory_check
    for width, depth in DISTRIBUTED:
        memory = PipelinedMemory(shape=width, depth=depth, distributed=True)
        yield f"{family} distributed memory {width}x{depth}", memory, memory_check
        memory = PartedMemory(shape=width, parts=4, depth=depth, distributed=True)
        yield f"{family} distributed parted memory 4x{width}x{depth}", memory, memory_check
    for width, depth in SINGLE_PORTS:
        yield f"{family} single port {width}x{depth}", SinglePortMemory(shape=width, depth=depth), memory_check
    for a, b in MULTIPLIERS:
        yield f"{family} multiplier {a} {b}", Multiplier(a, b), multiplier_check
    yield f"{family} relay", Relay(24), relay_check
    yield f"{family} choice", Choice(24), choice_check
    if family != "ice40":  # elsewhere they are plain HDL
        return
    for a, b, width in MULTIPLY_ADDS:
        yield f"{family} multiply-add {a} {b} {width}", MultiplyAdd(a, b, width=width), multiply_add_check
    yield f"{family} multiply-accumulate", MultiplyAccumulate(), multiply_accumulate_check
    for bits in ROW_MEMORIES:
        yield f"{family} rows {bits}", RowMemory(address_bits=bits), row_memory_check


def bench() -> tuple[list[str], str]:
    """Return the names of all cases and the Verilog of a bench with all of them side by side."""
    names, modules, wires, calls = [], [], [], []
    for family, device in TARGETS.items():
        parts, connected = {}, {"twin": [".clk(clk), .rst(1'b0)"], "block": [".clk(clk), .rst(1'b0)"]}
        for name, component, check in cases(family):
            part = f"{family}_{len(parts)}"
            names.append(name)
            parts[part] = component
            declared, passed = ["input clk, input done, input [31:0] cycle"], [".clk, .done, .cycle"]
            for path, member, value in component.signature.flatten(component):
                port = "__".join(map(str, path))
                bits, pin = f"[{len(Value.cast(value)) - 1}:0]", f"{part}__{port}"
                both = [("", "output reg")] if member.flow is In else [("twin__", "input"), ("block__", "input")]
                for prefix, direction in both:
                    wires.append(f"wire {bits} {prefix}{pin};")
                    declared.append(f"{direction} {bits} {prefix}{port}")
                    passed.append(f".{prefix}{port}({prefix}{pin})")
                for side, pins in connected.items():
                    pins.append(f".{pin}({'' if member.flow is In else side + '__'}{pin})")
            modules.append(f"""module check_{part} ({", ".join(declared)});
    integer checked = 0, wrong = 0;
    {check(component)}
    always @(posedge done) $display("{name}:%0d:%0d", checked, wrong);
endmodule
""")
            calls.append(f"check_{part} check_{part} ({', '.join(passed)});")
        for side, platform in ("twin", None), ("block", device):
            modules.append(emit(Together(**parts), f"{family}_{side}", platform))
            calls.append(f"{family}_{side} {family}_{side} ({', '.join(connected[side])});")
    top = ["module bench (input clk, input done, input [31:0] cycle);", *wires, *calls, "endmodule", ""]
    return names, "\n".join([*modules, *top])


# The runtime as it compiles fastest; the package's makefile lacks the option that includes a precompiled header.
MAKEFLAGS = "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0 CFG_CXXFLAGS_PCH_I=-include"
MAIN = f"""#include "Vbench.h"
int main() {{
    Vbench bench;
    for (bench.cycle = 0; bench.cycle < {CYCLES}; ++bench.cycle)
        for (int clk : {{1, 0}}) {{ bench.clk = clk; bench.eval(); }}
    bench.done = 1;
    bench.eval();
}}
"""


def test_instances_equal_their_twins(tmp_path):
    names, verilog = bench()
    (tmp_path / "bench.v").write_text(verilog)
    (tmp_path / "main.cpp").write_text(MAIN)
    use_verilator()
    command = [
        "verilator", "--cc", "--exe", "--build", "--top-module", "bench", "-Wno-lint", "--no-timing", "--output-split",
        "10000", "-MAKEFLAGS", MAKEFLAGS, "bench.v", "main.cpp", *map(str, sorted(MODELS.glob("*.v"))),
    ]  # fmt: skip
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert not built.returncode, built.stdout + built.stderr
    done = subprocess.run([tmp_path / "obj_dir" / "Vbench"], cwd=tmp_path, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if ":" in line]
    results = {name: (int(checked), int(wrong)) for name, checked, wrong in (line.split(":") for line in lines)}
    assert sorted(results) == sorted(names)
    assert {name: wrong for name, (checked, wrong) in results.items() if wrong or checked < CYCLES // 5} == {}
