"""Reset the parts of a core, far and near, so that all begin anew together."""

from amaranth import Cat, ResetInserter, Signal

from hw.delay import delay
from hw.vendor.generic import Relay


class Stops:
    """What resets the parts: a reset of the core, and as long as there is no network.

    The last hop is each part's own register. A reset lasts a cycle longer than the buses to the lanes, so that nothing
    of what they hold comes through, and until it is over nothing is taken or sent.

    Parameters
    ----------
    m : Module
    hops : int
    reset : Value
    loader : Loader

    Attributes
    ----------
    first : Signal
        Before its first hop.
    unsettled : Signal
        Nothing is to be taken or sent.
    """

    def __init__(self, m, hops, reset, loader):
        self._m = m
        resets = [reset]
        for cycle in range(1, 2 * hops + 2):
            resets.append(delay(m, resets[-1], 1, f"resets_{cycle}", init=0))
        self._stops = [Signal(name="stopped", init=1)]
        for cycle in range(1, hops + 1):
            self._stops.append(delay(m, self._stops[-1], 1, f"stopped_{cycle}", init=1))
        self.first, self._last = self._stops[0], self._stops[hops - 1]
        m.d.sync += self.first.eq(Cat(resets[: hops + 1]).any() | ~loader.loaded)
        self.unsettled = Signal(name="unsettled")
        m.d.sync += self.unsettled.eq(Cat(resets).any())

    def any(self):
        """Return whether a stop is under way."""
        return Cat(self._stops).any()

    def stoppable(self, name, component, stopped=None):
        """Add a part that is reset by a register of its own, behind ``stopped``, by default the last hop but that."""
        self._m.submodules[f"{name}_stop"] = stop = Relay(1)
        self._m.submodules[name] = part = ResetInserter(stop.o)(component)
        self._m.d.comb += stop.i.eq(self._last if stopped is None else stopped)
        return part
