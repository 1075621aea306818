"""A Wishbone manager for cocotb tests."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

PATIENCE = 50  #: cycles in which an answer must come


class Manager:
    """A Wishbone manager, after the rules of the B4 document alone.

    A standard one holds its request until it is answered. A pipelined one goes on to the next request in the cycle
    after one in which it was not stalled, and counts answers apart. Between requests it leaves random gaps; a standard
    one ends the bus cycle in some of them.
    """

    def __init__(self, dut, names: dict[str, str], clock, *, pipelined=False, stall=0.0, rng=None):
        self._pins = {name: getattr(dut, pin) for name, pin in names.items()}
        self._clock, self._pipelined, self._stall = clock, pipelined, stall
        self._rng = rng or random.Random(0)
        for name in ("cyc", "stb", "we", "adr", "sel", "dat_w"):
            self._pins[name].value = 0
        cocotb.start_soon(self._watch())

    def _sample(self, name: str) -> int:
        return int(self._pins[name].value)

    async def _watch(self):
        """No answer without a request, and never two at once."""
        while True:
            await RisingEdge(self._clock)
            answers = [self._pins[name].value for name in ("ack", "err")]
            if all(answer.is_resolvable for answer in answers) and any(map(int, answers)):
                assert sum(map(int, answers)) == 1, "two answers"
                assert self._sample("cyc") and self._sample("stb"), "an answer to nobody"

    async def _gap(self):
        while self._rng.random() < self._stall:
            await RisingEdge(self._clock)

    def _put(self, request):
        write, address, word, select = request
        self._pins["stb"].value = 1
        for name, value in (("we", write), ("adr", address), ("dat_w", word), ("sel", select)):
            self._pins[name].value = value

    async def access(self, *requests: tuple[int, int, int, int]) -> list[tuple[bool, int]]:
        """Make requests (write, word address, word, select); return whether each got ``ack``, and the word read."""
        answers = []
        offered = taken = silent = 0
        while len(answers) < len(requests):
            if offered == taken and offered < len(requests) and (self._pipelined or len(answers) == offered):
                self._pins["stb"].value = 0
                if not self._pipelined and self._rng.random() < 0.5:
                    self._pins["cyc"].value = 0
                if len(answers) == taken:
                    await self._gap()
                self._pins["cyc"].value = 1
                self._put(requests[offered])
                offered += 1
            elif offered == taken:
                self._pins["stb"].value = 0
            await RisingEdge(self._clock)
            answered = self._sample("ack") or self._sample("err")
            silent = 0 if answered else silent + 1
            assert silent < PATIENCE, "no answer"
            if answered:
                answers.append((bool(self._sample("ack")), self._sample("dat_r")))
            if offered > taken and (not self._sample("stall") if self._pipelined else answered):
                taken += 1
            assert len(answers) <= taken
        self._pins["cyc"].value = self._pins["stb"].value = 0
        return answers

    async def give_up(self, request, cycles: int):
        """Make a request and end the bus cycle after some cycles, unless it was answered before."""
        self._pins["cyc"].value = 1
        self._put(request)
        for _ in range(cycles):
            await RisingEdge(self._clock)
            if self._sample("ack") or self._sample("err"):
                break
        self._pins["cyc"].value = self._pins["stb"].value = 0
        await ClockCycles(self._clock, 2)


SIGNALS = ("cyc", "stb", "we", "adr", "sel", "dat_w", "dat_r", "ack", "err", "stall")


def manager(dut, bus: str = "bus", **options) -> Manager:
    """Return a manager at a port :class:`hw.bus.wishbone.WishboneBus` of a design."""
    return Manager(dut, {name: f"{bus}__{name}" for name in SIGNALS}, dut.clk, **options)
