"""The rules of a stream, of every component that has one.

1. A transfer happens in each cycle in which ``valid`` and ``ready`` are high.
2. While ``valid`` is high and ``ready`` low, ``valid`` stays high and the payload stays the same.
3. ``valid`` never waits for ``ready``.

Every input is free in every cycle, but for input streams, which keep rule 2. Payloads may be as narrow as a
configuration allows: the rules do not look into them.
"""

from __future__ import annotations

from collections.abc import Iterator

from amaranth import Signal, Value
from amaranth.hdl import ValueLike
from amaranth.lib import stream
from amaranth.lib.wiring import Component, Flow, In

from formal.bench import Bench


def streams(component: Component) -> Iterator[tuple[str, Flow, stream.Interface]]:
    """Yield name, direction and interface of each stream of a component."""
    for name, member in component.signature.members.items():
        if member.is_signature and isinstance(member.signature, stream.Signature):
            value = getattr(component, name)
            for k, one in enumerate(value if member.dimensions else [value]):
                yield f"{name}_{k}" if member.dimensions else name, member.flow, one


def keeps(bench: Bench, port: stream.Interface, unless: ValueLike) -> Value:
    """Return whether a stream keeps rule 2, but for what it offers in cycles in which ``unless`` is high."""
    waits = bench.past(port.valid & ~port.ready & ~Value.cast(unless))
    return ~waits | (port.valid & (Value.cast(port.payload) == bench.past(port.payload)))


def rules(bench: Bench, *, unless: dict[str, ValueLike] | None = None) -> None:
    """Assume the rules of all input streams, prove those of all output streams.

    ``unless``: by the name of a stream, in which cycles it may drop what it offers.
    """
    unless = unless or {}
    for name, flow, port in streams(bench.component):
        if flow is In:
            bench.assume(keeps(bench, port, unless.get(name, 0)))
            continue
        bench.prove(keeps(bench, port, unless.get(name, 0)))
        was_ready = Signal(name=f"{name}_was_ready")
        bench.m.d.sync += was_ready.eq(was_ready | port.ready)
        bench.cover(port.valid & ~was_ready)  # rule 3: it did not wait
        bench.cover(port.valid & port.ready & bench.past(port.valid & ~port.ready, 2))
