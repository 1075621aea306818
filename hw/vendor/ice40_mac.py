"""Lattice iCE40 UltraPlus: the adder of the multiplier block, SB_MAC16.

Source: FPGA-TN-02007 (DSP function usage guide).
"""

from __future__ import annotations

from amaranth import ClockSignal, Const, Instance, Module, Signal, Value

from hw.vendor.blocks import extend

OPERAND_BITS = 16
RESULT_BITS = 32
#: Registers of the operands, of the four products of 8 by 8 bits, and of the result; both halves of the adder add the
#: product.
_PARAMETERS = {
    **{f"p_{name}": Const(1, 1) for name in (
        "A_REG", "B_REG", "TOP_8x8_MULT_REG", "BOT_8x8_MULT_REG", "PIPELINE_16x16_MULT_REG1",
    )},
    "p_TOPADDSUB_LOWERINPUT": Const(2, 2), "p_BOTADDSUB_LOWERINPUT": Const(2, 2),
    # The carry out of the low half, inverted or not as it comes.
    "p_TOPADDSUB_CARRYSELECT": Const(2, 2), "p_BOTADDSUB_CARRYSELECT": Const(0, 2),
    "p_TOPOUTPUT_SELECT": Const(1, 2), "p_BOTOUTPUT_SELECT": Const(1, 2),
}  # fmt: skip
_UNUSED = (
    "AHOLD", "BHOLD", "CHOLD", "DHOLD", "OHOLDTOP", "OHOLDBOT", "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT",
    "OLOADTOP", "OLOADBOT", "ADDSUBTOP", "ADDSUBBOT", "CI", "ACCUMCI", "SIGNEXTIN",
)  # fmt: skip


def multiply_add(ports) -> Module:
    """Build :class:`hw.vendor.multiply_add.MultiplyAdd`: O = C:D + A * B."""
    m = Module()
    o = Signal(RESULT_BITS)
    addend = extend(ports.addend, RESULT_BITS)
    m.submodules.dsp = _instance(
        ports.a, ports.b, addend, o, i_BHOLD=~ports.b_en, i_ORSTTOP=ports.clear,
        i_ORSTBOT=ports.clear, p_TOPADDSUB_UPPERINPUT=Const(1, 1), p_BOTADDSUB_UPPERINPUT=Const(1, 1),
    )  # fmt: skip
    m.d.comb += ports.o.eq(o)
    return m


def multiply_accumulate(ports) -> Module:
    """Build :class:`hw.vendor.multiply_add.MultiplyAccumulate`: O += A * B, or O = C:D."""
    m = Module()
    o = Signal(RESULT_BITS)
    action = ports.action.as_value()  # 0 hold, 1 load, 2 add, 3 subtract
    holds, loads, subtracts = action == 0, action == 1, action == 3
    m.submodules.dsp = _instance(
        ports.a, ports.b, ports.constant, o, i_OHOLDTOP=holds, i_OHOLDBOT=holds, i_OLOADTOP=loads, i_OLOADBOT=loads,
        i_ADDSUBTOP=subtracts, i_ADDSUBBOT=subtracts,
    )  # fmt: skip
    m.d.comb += ports.o.eq(o)
    return m


def _instance(a: Value, b: Value, addend: Value, o: Signal, **others) -> Instance:
    half = RESULT_BITS // 2
    return Instance(
        "SB_MAC16",
        p_A_SIGNED=Const(int(a.shape().signed), 1), p_B_SIGNED=Const(int(b.shape().signed), 1),
        i_CLK=ClockSignal(), i_CE=1, i_A=extend(a, OPERAND_BITS), i_B=extend(b, OPERAND_BITS),
        i_C=addend[half:], i_D=addend[:half], o_O=o,
        **{**_PARAMETERS, **{f"i_{name}": 0 for name in _UNUSED}, **others},
    )  # fmt: skip
