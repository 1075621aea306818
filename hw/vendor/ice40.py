"""Lattice iCE40 UltraPlus: block RAM, single-port RAM and multiplier with their own registers.

Sources: FPGA-TN-02002 (memory usage guide), FPGA-TN-02022 (SPRAM usage guide), FPGA-TN-02007 (DSP function usage
guide), iCE40 technology library.
"""

from __future__ import annotations

from amaranth import Cat, ClockSignal, Const, Instance, Module, Mux, Shape, Signal, Value

from hw.delay import delay
from hw.vendor import blocks
from hw.vendor.blocks import Block, Rules, extend

RULES = Rules(geometries={16: 256, 8: 512, 4: 1024, 2: 2048}, distributed_rows=0, unit=1)
SINGLE_PORT_RULES = Rules(geometries={16: 16384}, distributed_rows=0, unit=16)
OPERAND_BITS = 16
#: A product is built from logic where one operand has at most this many bits: there are only 8 multipliers.
LOGIC_OPERAND_BITS = 7


def memory(ports) -> Module:
    """Build a memory from block RAM; it has no output register, so that is built from logic."""
    return blocks.memory(ports, RULES, _ram40_4k, output_register=False)


def parted_memory(ports) -> Module | None:
    """Build a memory whose parts are written one by one: by the bits of words of 16."""
    return blocks.parted_memory(ports, RULES, _ram40_4k, output_register=False)


def _ram40_4k(block: Block) -> Instance:
    """Instance a block RAM. Words narrower than 16 bits lie interleaved in its 256 rows.

    Bit n of word a is bit ``n * parts + a // 256`` of row ``a % 256``; at the pins, bit ``n * parts + parts // 2 - 1``
    of 2 or more parts.
    """
    parts = 16 // block.width
    first_pin = max(parts // 2 - 1, 0)
    rows = [0] * 256
    for address, word in enumerate(block.init):
        for n in range(block.width):
            rows[address % 256] |= (word >> n & 1) << n * parts + address // 256
    lines = [sum(row << 16 * n for n, row in enumerate(rows[k : k + 16])) for k in range(0, 256, 16)]
    mode = {16: 0, 8: 1, 4: 2, 2: 3}[block.width]
    write_pins = [Const(0)] * 16
    read_pins = [Signal(name=f"unused_{n}") for n in range(16)]
    for n in range(block.width):
        write_pins[n * parts + first_pin], read_pins[n * parts + first_pin] = block.write_data[n], block.read_data[n]
    clock = ClockSignal()
    return Instance(
        "SB_RAM40_4K",
        p_READ_MODE=mode, p_WRITE_MODE=mode,
        i_RCLK=clock, i_RCLKE=block.read_en, i_RE=1, i_RADDR=Cat(block.read_addr, Const(0, 11 - len(block.read_addr))),
        o_RDATA=Cat(read_pins),
        i_WCLK=clock, i_WCLKE=block.write_en, i_WE=1,
        i_WADDR=Cat(block.write_addr, Const(0, 11 - len(block.write_addr))),
        i_WDATA=Cat(write_pins), i_MASK=Const(0, 16) if block.write_units is None else ~block.write_units,
        **{f"p_INIT_{k:X}": Const(line, 256) for k, line in enumerate(lines) if line},
    )  # fmt: skip


def single_port_memory(ports) -> Module:
    """Build a memory from single-port RAM: 16 bits, 16384 rows, no initial content."""
    return blocks.memory(ports, SINGLE_PORT_RULES, _spram256ka, output_register=False)


def _spram256ka(block: Block) -> Instance:
    address = Mux(block.write_en, block.write_addr, block.read_addr)
    return Instance(
        "SB_SPRAM256KA",
        i_CLOCK=ClockSignal(), i_STANDBY=0, i_SLEEP=0, i_POWEROFF=1,  # POWEROFF is active low
        i_CHIPSELECT=block.read_en | block.write_en, i_WREN=block.write_en, i_MASKWREN=Const(0b1111, 4),
        i_ADDRESS=Cat(address, Const(0, 14 - len(address))), i_DATAIN=block.write_data, o_DATAOUT=block.read_data,
    )  # fmt: skip


def is_block_product(a: Shape, b: Shape) -> bool:
    """Return whether a product is made by a multiplier."""
    product_bits = a.width + b.width - (a.signed or b.signed)  # without a sign
    return LOGIC_OPERAND_BITS < min(a.width, b.width) <= OPERAND_BITS and product_bits <= 32


def multiplier(ports) -> Module | None:
    """Build a multiplier from one SB_MAC16 with its input, pipeline and output registers.

    Of a longer operand the bits above 16 are multiplied in logic and added by the adder of the block itself: its C
    input holds the sum of their products, which weigh 2 ** 16, as the high half of the result. The block's result has
    32 bits; the 33rd of a signed product is its sign.
    """
    short, long = sorted((ports.a, ports.b), key=len)
    if len(short) <= LOGIC_OPERAND_BITS:
        return blocks.product_in_logic(ports)
    if not is_block_product(ports.a.shape(), ports.b.shape()):
        return None
    m = Module()
    low = long[:OPERAND_BITS] if len(long) > OPERAND_BITS else long
    high = [Mux(bit, short, 0) << k for k, bit in enumerate(long[OPERAND_BITS:])]
    # The sign bit weighs -1: subtracted as its complement, with the carry into the adder.
    negative = long.shape().signed and bool(high)
    if negative:
        high[-1] = ~high[-1]
    correction = Signal(OPERAND_BITS, reset_less=True)
    if high:
        with m.If(ports.en):
            m.d.sync += correction.eq(sum(high))

    result = Signal(32)
    m.submodules.dsp = Instance(
        "SB_MAC16",
        **{f"p_{name}": Const(1, 1) for name in (
            "A_REG", "B_REG", "C_REG", "TOP_8x8_MULT_REG", "BOT_8x8_MULT_REG", "PIPELINE_16x16_MULT_REG1",
            "TOPADDSUB_UPPERINPUT", "BOTADDSUB_UPPERINPUT",
        )},
        # O = C:D + A * B, registered.
        p_TOPADDSUB_LOWERINPUT=Const(2, 2), p_BOTADDSUB_LOWERINPUT=Const(2, 2),
        p_TOPADDSUB_CARRYSELECT=Const(int(negative), 2), p_BOTADDSUB_CARRYSELECT=Const(0, 2),
        p_TOPOUTPUT_SELECT=Const(1, 2), p_BOTOUTPUT_SELECT=Const(1, 2),
        p_A_SIGNED=Const(int(low.shape().signed), 1), p_B_SIGNED=Const(int(short.shape().signed), 1),
        i_CLK=ClockSignal(), i_CE=1, i_AHOLD=~ports.en, i_BHOLD=~ports.en,
        i_A=extend(low, OPERAND_BITS), i_B=extend(short, OPERAND_BITS), i_C=correction, i_D=Const(0, OPERAND_BITS),
        **{f"i_{name}": 0 for name in (
            "CHOLD", "DHOLD", "OHOLDTOP", "OHOLDBOT", "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT",
            "OLOADTOP", "OLOADBOT", "ADDSUBTOP", "ADDSUBBOT", "CI", "ACCUMCI", "SIGNEXTIN",
        )},
        o_O=result,
    )  # fmt: skip
    m.d.comb += ports.product.eq(result)
    if len(ports.product) > len(result):
        negative_product = blocks.enabled(m, _is_negative(short, long), ports.en, "negative_operands")
        m.d.comb += ports.product[-1].eq(delay(m, negative_product, 2, "negative"))
    return m


def _is_negative(a: Value, b: Value) -> Value:
    def sign(value):
        return value[-1] if value.shape().signed else 0

    return (sign(a) ^ sign(b)) & a.any() & b.any()


def register(i: Value, o: Value) -> Instance:
    """Instance one flip-flop."""
    return Instance("SB_DFF", i_C=ClockSignal(), i_D=i, o_Q=o)


def choice(ports) -> None:
    """Leave the choice to Yosys."""
