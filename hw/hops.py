"""Registers in the buses between the lanes and the rest, for a core that fills a large device.

Of the ``hops`` of a bus the last is its receiver's own; these are the others. With one hop there are none.
"""

from collections.abc import Sequence

from amaranth import Cat, Module, Value
from amaranth.lib import data

from hw.vendor.generic import Relay

#: Receivers behind one register at each level of a tree, from the source on, for each number of hops. A lane is near
#: its neighbours, and far from those of another cell unit.
TREES = {1: (), 2: (4,), 3: (8, 2)}


def carry(m: Module, name: str, value: Value | data.View, hops: int):
    """Return a value, behind its registers."""
    for hop in range(1, hops):
        value = _register(m, f"{name}_hop_{hop}", value)
    return value


def spread(m: Module, name: str, value: Value | data.View, receivers: int, hops: int) -> list:
    """Return a value for each of many receivers, neighbours one after the other, behind a tree of registers."""
    values = [value] * receivers
    for level, size in enumerate(TREES[hops]):
        copies = [_register(m, f"{name}_{first}_hop_{level + 1}", values[first]) for first in range(0, receivers, size)]
        values = [copies[number // size] for number in range(receivers)]
    return values


def join(m: Module, name: str, bits: Sequence[Value], hops: int) -> Value:
    """Return whether all of many bits are set, neighbours one after the other, behind a tree of registers."""
    values, joined = list(bits), 1
    for level, size in enumerate(reversed(TREES[hops])):
        places = range(0, len(values), size // joined)
        values = [
            _register(m, f"{name}_{k}_hop_{level + 1}", Cat(values[k : k + size // joined]).all()) for k in places
        ]
        joined = size
    return Cat(values).all()


def _register(m: Module, name: str, value: Value | data.View):
    m.submodules[name] = relay = Relay(value.shape())
    m.d.comb += relay.i.eq(value)
    return relay.o
