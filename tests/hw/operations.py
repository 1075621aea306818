"""What walks lists in a lane: move it on, and take the operations that come out."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import RisingEdge

from hw.event import EventKind
from tests.hw.bench import fields, wait_until


def everywhere(advance):
    return dict.fromkeys(("walk", "take", "read"), advance)


def operation(payload):
    return {
        **fields(payload),
        "kind": payload.kind,
        "entry": fields(payload.entry) if payload.kind == EventKind.EVENT else None,
    }


class OperationSink:
    """Move the pipeline ``name`` of a design on, each cycle stalled with probability ``stall``, and take what comes.

    Checks that what is held stays, and that ``behind`` told the target of each entry before it came.
    """

    def __init__(self, dut, name, pins, *, stall=0.0):
        self.stall, self.received = stall, []
        self._name, self._clock, self._pins = name, dut.clk, pins
        pins.set(advance=everywhere(0))
        cocotb.start_soon(self._run())

    async def receive(self, count, *, timeout=100_000):
        """Wait for ``count`` operations, and take them."""
        await wait_until(self._clock, lambda: len(self.received) >= count, timeout=timeout)
        taken, self.received[:] = self.received[:count], self.received[count:]
        return taken

    async def _run(self):
        advance, moved, before, behind = False, True, None, None
        while True:
            await RisingEdge(self._clock)
            now = operation(self._pins.get("o")) if self._pins.get("o_valid") else None
            assert moved or now == before, f"{self._name}: {before} became {now} while it was not moved"
            if moved and now and now["entry"]:
                entry = now["entry"]
                assert behind == {"bank": now["bank"], "row": entry["row"], "gate": entry["gate"]}
            behind = fields(self._pins.get("behind"))
            if advance and now:
                self.received.append(now)
            before, moved, advance = now, advance, random.random() >= self.stall
            self._pins.set(advance=everywhere(advance))
