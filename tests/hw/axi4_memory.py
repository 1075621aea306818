"""Memory behind an AXI4 read master."""

import random
from collections import deque

import cocotb
from cocotb.triggers import RisingEdge

from hw.bus.axi4_read import BEAT_BYTES, OKAY, PAGE_BYTES


class Memory:
    """An AXI4 slave for reads, in order: ``latency`` cycles at random for a burst, stalls in between.

    Fails where a burst is not as AXI4 allows it, is longer than ``burst_beats``, or leaves the ``window`` of bytes.
    ``content`` tells the beat at an address; ``spoil`` may change a transfer before it goes. ``pins`` have the ports
    ``ar`` and ``r`` of a master.
    """

    def __init__(self, dut, pins, content, window, *, data_bits, burst_beats, latency=10, stall=0.0, spoil=None):
        self.pins, self.content, self.window, self.latency, self.stall = pins, content, window, latency, stall
        self.size, self.limit = data_bits // 8, burst_beats * BEAT_BYTES
        self.spoil = spoil or (lambda address, transfer: transfer)
        self.silent = False  #: answers nothing, and accepts no address
        self.asked, self.bursts, self.most = 0, deque(), 0
        self._clock = dut.clk
        cocotb.start_soon(self._run())

    async def _run(self):
        size = self.size
        offered, ready, held, sending, now = None, False, None, deque(), 0
        while True:
            await RisingEdge(self._clock)
            now += 1
            asked = self.pins.get("ar__payload") if self.pins.get("ar__valid") else None
            fields = None if asked is None else (asked.addr, asked.len)
            assert held is None or held == fields, "an address changed while it waited"
            if fields is not None and ready:
                address, length = fields[0], (fields[1] + 1) * size
                assert address % BEAT_BYTES == 0 and length % BEAT_BYTES == 0 and length <= self.limit
                assert address // PAGE_BYTES == (address + length - 1) // PAGE_BYTES, "a burst crosses a page"
                assert self.window.start <= address <= self.window.stop - length, "a burst leaves the window"
                self.asked += length // BEAT_BYTES
                self.bursts.append((now + random.randrange(self.latency + 1), address, length))
                self.most = max(self.most, len(self.bursts) + bool(sending))
            held = fields if fields is not None and not ready else None
            if offered is not None and self.pins.get("r__ready"):
                sending.popleft()
                offered = None
            if not sending and self.bursts and self.bursts[0][0] <= now:
                _, address, length = self.bursts.popleft()
                for at in range(address, address + length, size):
                    word = self.content(at // BEAT_BYTES * BEAT_BYTES) >> 8 * (at % BEAT_BYTES) & (1 << 8 * size) - 1
                    transfer = {"data": word, "resp": OKAY, "last": at + size == address + length}
                    sending.append(self.spoil(at, transfer))
            if offered is None and sending and random.random() >= self.stall and not self.silent:
                offered = sending[0]
            ready = random.random() >= self.stall and not self.silent
            self.pins.set(ar__ready=ready, r__valid=offered is not None, **({"r__payload": offered} if offered else {}))
