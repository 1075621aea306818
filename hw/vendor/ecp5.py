"""Lattice ECP5: block RAM, distributed RAM and multiplier with their own registers.

Sources: FPGA-TN-02204 (memory usage guide), FPGA-TN-02205 (sysDSP usage guide).
"""

from __future__ import annotations

from amaranth import Cat, ClockSignal, Const, Instance, Module, Shape, Signal, Value

from hw.vendor import blocks
from hw.vendor.blocks import Block, Rules, extend

#: With 24 bits, routed, 16 rows of distributed RAM take 35 COMB, 32 rows 97 and 64 rows 243; block RAM takes none.
RULES = Rules(geometries={36: 512, 18: 1024, 9: 2048, 4: 4096, 2: 8192, 1: 16384}, distributed_rows=16, unit=9)
OPERAND_BITS = 18


def memory(ports) -> Module:
    """Build a memory: distributed RAM where it is shallow, else block RAM with its output register."""
    return blocks.memory(ports, RULES, _dp16kd)


single_port_memory = memory


def parted_memory(ports) -> Module | None:
    """Build a memory whose parts are written one by one: from block RAM by the bytes of 9 bits of its widest words."""
    return blocks.parted_memory(ports, RULES, _dp16kd)


def _dp16kd(block: Block) -> Instance:
    """Instance a block RAM that writes through port A and reads through port B.

    A word of 36 bits takes the data pins of both ports, the low half those of port A, in both directions; so both
    output registers are on then.
    """
    wide = block.width == 36
    # Addresses count bits, a word of 9 as 8. Port A's lowest bits enable the bytes of words of 18 and 36.
    unused = {36: 5, 18: 4, 9: 3, 4: 2, 2: 1, 1: 0}[block.width]
    bytes_enabled = Const({36: 0b01111, 18: 0b0011}.get(block.width, 0), unused)
    if block.write_units is not None:
        bytes_enabled = Cat(block.write_units, Const(0, unused - len(block.write_units)))
    pins = {"ADA": Cat(bytes_enabled, block.write_addr), "ADB": Cat(Const(0, unused), block.read_addr)}
    outputs = {"DOB": block.read_data}
    if wide:
        pins |= {"DIA": block.write_data[:18], "DIB": block.write_data[18:]}
        outputs = {"DOA": block.read_data[:18], "DOB": block.read_data[18:]}
    else:
        pins["DIA"] = block.write_data
    clock = ClockSignal()
    return Instance(
        "DP16KD",
        p_DATA_WIDTH_A=block.width, p_DATA_WIDTH_B=block.width,
        p_REGMODE_A="OUTREG" if wide else "NOREG", p_REGMODE_B="OUTREG",
        p_RESETMODE="SYNC", p_GSR="DISABLED", p_WRITEMODE_A="NORMAL", p_WRITEMODE_B="NORMAL",
        p_CSDECODE_A="0b000", p_CSDECODE_B="0b000",
        i_CLKA=clock, i_CEA=block.write_en, i_WEA=Const(1) if wide else block.write_en, i_OCEA=block.read_en, i_RSTA=0,
        i_CLKB=clock, i_CEB=block.read_en, i_WEB=0, i_OCEB=block.read_en, i_RSTB=0,
        **{f"i_CS{port}{k}": 0 for port in "AB" for k in range(3)},
        **{f"i_{name}{k}": bit for name, value in pins.items() for k, bit in enumerate(_padded(value, name))},
        **{f"o_{name}{k}": bit for name, value in outputs.items() for k, bit in enumerate(value)},
        **{f"p_INITVAL_{k:02X}": Const(line, 320) for k, line in enumerate(_initial(block)) if line},
    )  # fmt: skip


def _padded(value, name: str):
    return Cat(value, Const(0, (14 if name.startswith("AD") else 18) - len(value)))


def _initial(block: Block) -> list[int]:
    """Return the content as 64 lines of 16 words of 18 bits, each padded to 20; of 9 bits narrow words use 8."""
    size, unit = (9, block.width) if block.width < 9 else (block.width, block.width)
    each = 8 // block.width if block.width < 9 else 1
    content = 0
    for k in range(0, len(block.init), each):
        word = sum(row << n * unit for n, row in enumerate(block.init[k : k + each]))
        content |= word << (k // each) * size
    words = [content >> 18 * k & 0x3FFFF for k in range(1024)]
    return [sum(word << 20 * n for n, word in enumerate(words[k : k + 16])) for k in range(0, 1024, 16)]


def is_block_product(a: Shape, b: Shape) -> bool:
    """Return whether a product is made by a multiplier."""
    return max(a.width, b.width) <= OPERAND_BITS


def multiplier(ports) -> Module | None:
    """Build a multiplier from one MULT18X18D with its input, pipeline and output registers."""
    if not is_block_product(ports.a.shape(), ports.b.shape()):
        return None
    m = Module()
    product = Signal(2 * OPERAND_BITS)
    operands = {"A": extend(ports.a, OPERAND_BITS), "B": extend(ports.b, OPERAND_BITS)}
    m.submodules.dsp = Instance(
        "MULT18X18D",
        **{f"p_REG_{stage}_CLK": "CLK0" for stage in ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT")},
        p_REG_INPUTA_CE="CE1", p_REG_INPUTB_CE="CE1", p_GSR="DISABLED", p_RESETMODE="SYNC",
        i_CLK0=ClockSignal(), i_CE0=1, i_CE1=ports.en, i_RST0=0, i_SOURCEA=0, i_SOURCEB=0,
        i_SIGNEDA=int(ports.a.shape().signed), i_SIGNEDB=int(ports.b.shape().signed),
        **{f"i_{name}{k}": bit for name, value in operands.items() for k, bit in enumerate(value)},
        **{f"o_P{k}": bit for k, bit in enumerate(product)},
    )  # fmt: skip
    m.d.comb += ports.product.eq(product)
    return m


def register(i: Value, o: Value) -> Instance:
    """Instance one flip-flop."""
    return Instance(
        "TRELLIS_FF", p_GSR="DISABLED", p_CEMUX="1", p_CLKMUX="CLK", p_LSRMUX="LSR", p_REGSET="RESET",
        i_CLK=ClockSignal(), i_LSR=0, i_DI=i, o_Q=o,
    )  # fmt: skip


def choice(ports) -> Module:
    """Choose by two LUTs a bit and the multiplexer behind them, where Yosys takes three or four."""
    m = Module()
    for k, bits in enumerate(zip(*map(Value.cast, ports.words), strict=True)):
        halves = [Signal(name=f"half_{name}_{k}") for name in "ba"]
        for half, (first, second) in zip(halves, (bits[:2], bits[2:]), strict=True):
            m.submodules += Instance(
                "LUT4", p_INIT=Const(0xCACA, 16), i_A=first, i_B=second, i_C=ports.select[0], i_D=0, o_Z=half
            )
        m.submodules += Instance(
            "PFUMX", i_BLUT=halves[0], i_ALUT=halves[1], i_C0=ports.select[1], o_Z=Value.cast(ports.o)[k]
        )
    return m
