"""How far all lanes have come."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import CoreConfig
from hw.delay import delay
from hw.vendor.generic import Relay

TOGETHER = 16  #: lanes that are compared in one place


class Passed(data.StructLayout):
    """Markers that a lane has passed, modulo their width."""

    def __init__(self, config: CoreConfig):
        super().__init__({"inputs": 2, "layers": config.marker_bits})


class Progress(wiring.Component):
    """Tell when all lanes have passed the end of a step's input or of a layer. Latency 3, of more than 16 lanes 4.

    Members
    -------
    lanes : In(Passed).array(lanes)
    egru_count : In
        Layers that end with a marker.
    input_end, layer_end : In(1)
        A marker was broadcast.
    step_end : In(1)
        The end of a step was handed to the output.
    input_closed : Out(1)
        All lanes have passed the next end of input.
    layer_closed : Out(1), layer : Out, last_layer : Out(1)
        All lanes have passed the next end of a layer: which it is, and whether it completes a step.
    idle : Out(1)
        Every step whose input has ended is out, and all lanes have passed everything that was broadcast.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__({
            "lanes": In(Passed(config)).array(config.lanes), "egru_count": In(config.layer_bits + 1),
            "step_end": In(1), "input_end": In(1), "layer_end": In(1), "input_closed": Out(1),
            "layer_closed": Out(1), "layer": Out(config.layer_bits), "last_layer": Out(1), "idle": Out(1, init=1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        sent, closed = Signal(Passed(self._config)), Signal(Passed(self._config))
        with m.If(self.input_end):
            m.d.sync += sent.inputs.eq(sent.inputs + 1)
        with m.If(self.layer_end):
            m.d.sync += sent.layers.eq(sent.layers + 1)

        # A lane that stands at the last marker closed holds it back; a lane cannot be further behind.
        # Of many lanes, groups that hear what is closed, and tell that all of them are ahead, a cycle later each.
        groups = [self.lanes[first : first + TOGETHER] for first in range(0, len(self.lanes), TOGETHER)]
        far = len(groups) > 1

        def all_beyond(name):
            beyond, ahead = Signal(name=f"{name}_beyond"), []
            for number, lanes in enumerate(groups):
                told = closed[name]
                if far:
                    m.submodules[f"{name}_closed_{number}"] = relay = Relay(told.shape())
                    m.d.comb += relay.i.eq(told)
                    told = relay.o
                here = Cat(delay(m, lane[name] != told, 1, f"{name}_ahead", init=0) for lane in lanes)
                ahead.append(delay(m, here.all(), far, f"{name}_all_ahead_{number}", init=0))
            # The comparisons are some cycles old: they count only if nothing was closed in between.
            before = [beyond]
            for cycle in range(1 + 2 * far):
                before.append(delay(m, before[-1], 1, f"{name}_closed_before_{cycle}", init=0))
            m.d.sync += beyond.eq(Cat(ahead).all() & ~Cat(before).any())
            return beyond

        m.d.comb += [
            self.input_closed.eq(all_beyond("inputs")),
            self.layer_closed.eq(all_beyond("layers")),
            self.last_layer.eq(self.layer + 1 == self.egru_count),
        ]
        with m.If(self.input_closed):
            m.d.sync += closed.inputs.eq(closed.inputs + 1)
        with m.If(self.layer_closed):
            m.d.sync += [closed.layers.eq(closed.layers + 1), self.layer.eq(self.layer + 1)]
            with m.If(self.last_layer):
                m.d.sync += self.layer.eq(0)
        steps_out = Signal.like(sent.inputs)
        with m.If(self.step_end):
            m.d.sync += steps_out.eq(steps_out + 1)
        settled = Cat(sent == closed, sent.inputs == steps_out)
        changes = Cat(self.input_end, self.layer_end, self.step_end)
        m.d.sync += self.idle.eq(settled.all() & ~changes.any())
        return m
