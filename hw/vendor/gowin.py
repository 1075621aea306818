"""Gowin GW2A: block RAM, distributed RAM and multiplier with their own registers.

nextpnr 0.11 places these blocks with all registers, but times block RAM as if its output register were off and the
multiplier not at all.

Sources: UG285 (BSRAM and SSRAM user guide), UG287 (DSP user guide).
"""

from __future__ import annotations

from amaranth import Cat, ClockSignal, Const, Instance, Module, Shape, Signal, Value

from hw.vendor import blocks
from hw.vendor.blocks import Block, Rules, extend

RULES = Rules(geometries={36: 512, 18: 1024, 9: 2048, 4: 4096, 2: 8192, 1: 16384}, distributed_rows=16, unit=9)
OPERAND_BITS = 18


def memory(ports) -> Module:
    """Build a memory: distributed RAM where it is shallow, else block RAM with its output register."""
    return blocks.memory(ports, RULES, _sdpb)


single_port_memory = memory


def parted_memory(ports) -> Module | None:
    """Build a memory whose parts are written one by one: from block RAM by the bytes of 9 bits of its widest words."""
    return blocks.parted_memory(ports, RULES, _sdpb)


def _sdpb(block: Block) -> Instance:
    """Instance a block RAM in semi dual port mode: SDPX9B for words of whole 9 bits, SDPB for narrower ones."""
    nines = block.width >= 9
    data_bits, line_bits = (36, 288) if nines else (32, 256)
    # Addresses count bits, a word of 9 as 8. Port A's lowest bits enable the bytes of words of 18 and 36.
    unused = {36: 5, 18: 4, 9: 3, 4: 2, 2: 1, 1: 0}[block.width]
    bytes_enabled = Const({36: 0b01111, 18: 0b0011}.get(block.width, 0), unused)
    if block.write_units is not None:
        bytes_enabled = Cat(block.write_units, Const(0, unused - len(block.write_units)))
    content = sum(row << block.width * k for k, row in enumerate(block.init))
    lines = [content >> line_bits * k & (1 << line_bits) - 1 for k in range(64)]
    read_data = Cat(block.read_data, Signal(data_bits - block.width, name="unused"))
    clock = ClockSignal()
    return Instance(
        "SDPX9B" if nines else "SDPB",
        p_READ_MODE=Const(1, 1), p_BIT_WIDTH_0=block.width, p_BIT_WIDTH_1=block.width, p_RESET_MODE="SYNC",
        p_BLK_SEL_0=Const(0, 3), p_BLK_SEL_1=Const(0, 3),
        i_CLKA=clock, i_CEA=block.write_en, i_RESETA=0, i_BLKSELA=Const(0, 3),
        i_ADA=Cat(bytes_enabled, block.write_addr), i_DI=Cat(block.write_data, Const(0, data_bits - block.width)),
        i_CLKB=clock, i_CEB=block.read_en, i_OCE=block.read_en, i_RESETB=0, i_BLKSELB=Const(0, 3),
        i_ADB=Cat(Const(0, unused), block.read_addr), o_DO=read_data,
        **{f"p_INIT_RAM_{k:02X}": Const(line, line_bits) for k, line in enumerate(lines) if line},
    )  # fmt: skip


def is_block_product(a: Shape, b: Shape) -> bool:
    """Return whether a product is made by a multiplier."""
    return max(a.width, b.width) <= OPERAND_BITS


def multiplier(ports) -> Module | None:
    """Build a multiplier from one MULT18X18 with its pipeline and output registers.

    Those of the operands, which may have to wait, are built from logic.
    """
    if not is_block_product(ports.a.shape(), ports.b.shape()):
        return None
    m = Module()
    product = Signal(2 * OPERAND_BITS)
    a, b = Signal.like(ports.a, reset_less=True), Signal.like(ports.b, reset_less=True)
    with m.If(ports.en):
        m.d.sync += [a.eq(ports.a), b.eq(ports.b)]
    m.submodules.dsp = Instance(
        "MULT18X18",
        **{f"p_{stage}": Const(0, 1) for stage in ("AREG", "BREG", "ASIGN_REG", "BSIGN_REG")},
        p_PIPE_REG=Const(1, 1), p_OUT_REG=Const(1, 1), p_SOA_REG=Const(0, 1), p_MULT_RESET_MODE="SYNC",
        i_CLK=ClockSignal(), i_CE=1, i_RESET=0,
        i_A=extend(a, OPERAND_BITS), i_ASIGN=int(ports.a.shape().signed), i_ASEL=0, i_SIA=Const(0, OPERAND_BITS),
        i_B=extend(b, OPERAND_BITS), i_BSIGN=int(ports.b.shape().signed), i_BSEL=0, i_SIB=Const(0, OPERAND_BITS),
        o_DOUT=product,
    )  # fmt: skip
    m.d.comb += ports.product.eq(product)
    return m


def register(i: Value, o: Value) -> Instance:
    """Instance one flip-flop."""
    return Instance("DFF", i_CLK=ClockSignal(), i_D=i, o_Q=o)


def choice(ports) -> None:
    """Leave the choice to Yosys."""
