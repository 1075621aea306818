"""The cell unit of the event-based GRU: from four sums and the old state to the new state and, perhaps, an event."""

from typing import NamedTuple

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden import fixed
from golden.fixed import GATES
from hw.config import CoreConfig
from hw.delay import delay
from hw.nonlinearity import Nonlinearity
from hw.vendor.generic import MULTIPLIER_LATENCY, Multiplier


def saturate(m: Module, value, bits, *, far: bool = False):
    """Clamp a signed value to ``bits`` bits; a cycle later if ``far``: whether it fits is then found out before."""
    top = value[bits - 1 :]
    fits = delay(m, (top == 0) | top.all(), far, "fits")
    value, sign = delay(m, value[:bits], far, "unclamped"), delay(m, value[-1], far, "sign")
    return Mux(fits, value, Cat((~sign).replicate(bits - 1), sign)).as_signed()


def event_value(c, y_bits):
    """:func:`golden.fixed.event_value` of a positive c."""
    down = fixed.STATE_FRACTION - y_bits
    if down <= 0:
        return c[: fixed.STATE_FRACTION] << -down
    rounded = (c[: fixed.STATE_FRACTION] + (1 << (down - 1))) >> down
    return Mux(rounded[y_bits], (1 << y_bits) - 1, rounded[:y_bits])


class Rescale(wiring.Component):
    """Bring a sum to 12 fraction bits: shift right, saturate (:func:`golden.fixed.rescale` after its rounding).

    One sum a cycle, no stalls, latency 2, or 4 with a register between the stages of multiplexers and one more before
    the last.

    Members
    -------
    total : In(signed(acc_bits))
        With half a step of the shift in it, which rounds.
    shift : In(5)
        Right shift plus 4.
    scaled : Out(signed(bits)), Q3.12 or Q5.12
    """

    LATENCY = 2  #: two more if ``far``

    def __init__(self, *, acc_bits: int, bits: int, far: bool = False):
        self._bits, self._far = bits, far
        super().__init__({"total": In(signed(acc_bits)), "shift": In(5), "scaled": Out(signed(bits))})

    def elaborate(self, platform):
        m = Module()
        # In two stages of multiplexers, by 0 to 3 times 8 and by 0 to 7: Yosys makes more of it by itself.
        coarse = (self.total << fixed.SHIFT_GUARD) >> (self.shift[3:] << 3)
        coarse = delay(m, coarse[: len(self.total) + fixed.SHIFT_GUARD], self._far, "coarse").as_signed()
        shifted = Signal(coarse.shape(), reset_less=True)
        m.d.sync += shifted.eq(coarse >> delay(m, self.shift[:3], self._far, "fine"))
        m.d.comb += self.scaled.eq(delay(m, saturate(m, shifted, self._bits, far=self._far), 1, "scaled"))
        return m


class Stages(NamedTuple):
    """Cycles from the sums of a unit to what follows from them: scaled sums, gates, the reset product, the candidate,
    the new state, the result. The old state goes in at ``state``, the threshold at ``threshold``.
    """

    scaled: int
    gate: int
    reset: int
    candidate: int
    state: int
    blend: int
    threshold: int
    latency: int


def stages(config: CoreConfig) -> Stages:
    """Return the stages of a core's cell units. With more than one hop there are registers more in them, too: behind
    each table, in each shift, and in each saturation.
    """
    far = config.hops > 1
    scaled = 1 + Rescale.LATENCY + 2 * far
    gate = scaled + Nonlinearity.LATENCY + far
    reset = gate + MULTIPLIER_LATENCY + far
    candidate = reset + 1 + Nonlinearity.LATENCY + far
    blend = candidate + MULTIPLIER_LATENCY
    return Stages(scaled, gate, reset, candidate, candidate - 1, blend, blend - 1, blend + 2)


class CellEgru(wiring.Component):
    """Update one unit a cycle (:func:`golden.fixed.cell`); no stalls.

    Sums and biases go in at cycle 0, the old state and the threshold as :func:`stages` says; the result is there at
    cycle ``latency``, 20 with one hop.

    Members
    -------
    sums, bias : In(ArrayLayout(signed(acc_bits), 4))
        gx, z, r, gh. A bias has half a step of its sum's shift in it.
    shifts : In(ArrayLayout(5, 4))
        Of the unit that went in one cycle ago.
    h : In(signed(16)), Q0.15
    threshold : In(15), Q0.15
    h_next : Out(signed(16)), fires : Out(1), y : Out(y_bits)

    Source: Subramoney et al., arXiv 2206.06178, with the reset gate after the recurrent product as in EvNN.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        sums = data.ArrayLayout(signed(config.acc_bits), len(GATES))
        super().__init__({
            "sums": In(sums), "bias": In(sums), "shifts": In(data.ArrayLayout(5, len(GATES))),
            "h": In(signed(16)), "threshold": In(fixed.STATE_FRACTION),
            "h_next": Out(signed(16)), "fires": Out(1), "y": Out(config.y_bits),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        at, far = stages(self._config), self._config.hops > 1
        one = fixed.STATE_FRACTION
        half = Const(1 << (one - 1), one)

        def with_half(value):
            # With a fraction of a half: one addition and a shift then round.
            return Cat(half, value).as_signed()

        # Sums with biases, at 12 fraction bits.
        scaled = {}
        for index, gate in enumerate(GATES):
            bits = fixed.PRE_BITS if gate in ("z", "r") else fixed.ADDEND_BITS
            m.submodules[f"rescale_{gate}"] = rescale = Rescale(acc_bits=self._config.acc_bits, bits=bits, far=far)
            total = Signal(signed(self._config.acc_bits), name=f"total_{gate}", reset_less=True)
            m.d.sync += total.eq(self.sums[index] + self.bias[index])
            m.d.comb += [rescale.total.eq(total), rescale.shift.eq(self.shifts[index])]
            scaled[gate] = rescale.scaled

        # z = sigmoid(...), r = sigmoid(...)
        m.submodules.sigmoid_z = sigmoid_z = Nonlinearity(fixed.SIGMOID, far=far)
        m.submodules.sigmoid_r = sigmoid_r = Nonlinearity(fixed.SIGMOID, far=far)
        m.d.comb += [sigmoid_z.pre.eq(scaled["z"]), sigmoid_r.pre.eq(scaled["r"])]

        # g = tanh(gx + r * gh)
        m.submodules.reset_product = reset_product = Multiplier(unsigned(one), signed(fixed.ADDEND_BITS))
        m.submodules.tanh = tanh = Nonlinearity(fixed.TANH, far=far)
        gx = delay(m, scaled["gx"], at.gate + MULTIPLIER_LATENCY - at.scaled, "gx")
        candidate_pre = Signal(signed(fixed.PRE_BITS), reset_less=True)
        m.d.comb += [
            reset_product.a.eq(sigmoid_r.value),
            reset_product.b.eq(delay(m, scaled["gh"], at.gate - at.scaled, "gh")),
            tanh.pre.eq(candidate_pre),
        ]
        m.d.sync += candidate_pre.eq(
            saturate(m, (with_half(gx) + reset_product.product) >> one, fixed.PRE_BITS, far=far)
        )

        # c = g + z * (h - g) = z * h + (1 - z) * g, and beside it c - thr - 1, whose sign tells whether c > thr. What
        # does not depend on g is ready before it.
        m.submodules.kept_product = kept_product = Multiplier(unsigned(one), signed(16))
        m.submodules.new_product = new_product = Multiplier(unsigned(one + 1), signed(16))
        z = delay(m, sigmoid_z.value, at.state - at.gate, "z")
        remainder = Signal(one + 1, reset_less=True)
        kept = Signal(signed(16 + one), reset_less=True)
        kept_beyond = Signal(signed(16 + one + 1), reset_less=True)
        c = Signal(signed(16), reset_less=True)
        beyond = Signal(signed(17), reset_less=True)
        m.d.comb += [
            kept_product.a.eq(z),
            kept_product.b.eq(self.h),
            new_product.a.eq(remainder),
            new_product.b.eq(tanh.value),
        ]
        m.d.sync += [
            remainder.eq((1 << one) - z),
            kept.eq(kept_product.product + half),
            kept_beyond.eq(kept_product.product + with_half(~Cat(self.threshold, 0))),
            c.eq((kept + new_product.product) >> one),
            beyond.eq((kept_beyond + new_product.product) >> one),
        ]

        # o = c > thr, h = c - o * thr, y = o * c
        fires = ~beyond[-1]
        for port, value in (
            (self.fires, fires),
            (self.h_next, Mux(fires, beyond + 1, c)),
            (self.y, Mux(fires, event_value(c, self._config.y_bits), 0)),
        ):
            register = Signal.like(port, reset_less=True)
            m.d.sync += register.eq(value)
            m.d.comb += port.eq(register)
        return m
