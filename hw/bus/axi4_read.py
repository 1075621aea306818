"""AXI4 read master: runs of beats from a window of memory, several bursts under way, in order."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.queue import Queue

BEAT_BYTES = 16  #: of a bus of 64 or 128 bits; of a wider one a beat is a transfer
PAGE_BYTES = 4096  #: no burst crosses a multiple of this, as AXI wants it
OKAY = 0
ADDRESS_BITS = 32


class ReadFault(enum.Enum, shape=unsigned(2)):
    """Why a read master stopped."""

    NONE = 0
    RANGE = 1  #: a run that is not within the window; nothing of it was read
    RESPONSE = 2  #: memory answered with an error, or ended a burst where it does not end
    TIMEOUT = 3  #: memory did not answer in time


class ReadRun(data.StructLayout):
    """A run of beats to read: its first one, counted in beats from the start of the window, and how many, from 1 up."""

    def __init__(self, address_bits: int, count_bits: int):
        super().__init__({"address": address_bits, "beats": count_bits})


class ReadBeat(data.StructLayout):
    """A beat, and whether it is the last one of its run."""

    def __init__(self, data_bits: int = 8 * BEAT_BYTES):
        super().__init__({"data": max(data_bits, 8 * BEAT_BYTES), "last": 1})


def read_signature(data_bits: int) -> dict[str, wiring.Member]:
    """Return an AXI4 read port: addresses and lengths of bursts of type INCR, their size that of the bus, and data."""
    return {
        "ar": Out(stream.Signature(data.StructLayout({"addr": ADDRESS_BITS, "len": 8}))),
        "r": In(stream.Signature(data.StructLayout({"data": data_bits, "resp": 2, "last": 1}))),
    }


class Axi4Read(wiring.Component):
    """Read runs of beats, one after the other.

    A beat a cycle, half as many where the bus is 64 bits wide, as long as memory answers as fast: the address of a
    burst, one every other cycle at most, is out while those before it are answered, as many as ``outstanding``. Bursts
    end at multiples of their size, so that none crosses a page. All with one id, so in order.

    After a fault nothing more is asked for, what is still answered is dropped, and no run is taken until ``restart``.

    Parameters
    ----------
    address_bits, count_bits : int
        Width of an address and of a count of beats in a run.
    data_bits : int
        Width of the bus, 64, 128, 256 or 512.
    burst_beats : int
        Beats of the longest burst, a power of two of at most a page, and at most 256 transfers.
    outstanding : int
        Bursts that may be under way, a power of two, 2 or more.
    timeout : int
        Cycles in which memory may neither answer nor accept an address, while something waits for it.

    Members
    -------
    runs : In(stream.Signature(ReadRun)), o : Out(stream.Signature(ReadBeat))
    base : In(32), size : In(address_bits + 1)
        The window: its first byte, a multiple of a page, lower bits count as 0; its beats. Both stay while anything is
        under way.
    ar : Out(stream.Signature({"addr", "len"})), r : In(stream.Signature({"data", "resp", "last"}))
        See :func:`read_signature`.
    restart : In(1)
        Forget all runs; taken up again once memory has answered all that was asked for. Clears the fault, but if memory
        stays silent then, there is another one until it has answered.
    idle : Out(1)
        Nothing is under way, and nothing waits at ``o``.
    fault : Out(ReadFault), fault_address : Out(address_bits)
        Sticky; the beat, counted from the start of the window.

    Raises
    ------
    ValueError
        If a parameter is not as said.
    """

    def __init__(
        self, *, address_bits: int, count_bits: int, data_bits: int = 128, burst_beats: int = 16, outstanding: int = 4,
        timeout: int = 4096,
    ):  # fmt: skip
        if data_bits not in (64, 128, 256, 512):
            raise ValueError(f"data_bits is {data_bits}; it must be 64, 128, 256 or 512")
        self._beat_bytes = max(BEAT_BYTES, data_bits // 8)
        self._transfers = 8 * self._beat_bytes // data_bits  # a beat
        most = min(PAGE_BYTES // self._beat_bytes, 256 // self._transfers)
        for name, value, high in (("burst_beats", burst_beats, most), ("outstanding", outstanding, 64)):
            if not 2 <= value <= high or value & (value - 1):
                raise ValueError(f"{name} is {value}; it must be a power of two from 2 to {high}")
        if timeout < 1:
            raise ValueError(f"timeout is {timeout}; it must be 1 or more")
        self._address_bits, self._count_bits, self._data_bits = address_bits, count_bits, data_bits
        self._burst_beats, self._outstanding, self._timeout = burst_beats, outstanding, timeout
        super().__init__({
            "runs": In(stream.Signature(ReadRun(address_bits, count_bits))),
            "o": Out(stream.Signature(ReadBeat(data_bits))),
            "base": In(ADDRESS_BITS), "size": In(address_bits + 1),
            **read_signature(data_bits),
            "restart": In(1), "idle": Out(1), "fault": Out(ReadFault), "fault_address": Out(address_bits),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        within = self._burst_beats.bit_length() - 1  # width of a beat's place in a burst
        burst = data.StructLayout({"address": self._address_bits, "more": within, "last": 1})  # ``more`` than one beat
        m.submodules.bursts = bursts = Queue(shape=burst, depth=self._outstanding)
        m.submodules.beats = beats = Queue(shape=ReadBeat(self._data_bits), depth=self._burst_beats)
        halted, under_way = Signal(), Signal(range(self._outstanding + 2))
        stops, outside, wrong, late = Signal(), Signal(), Signal(), Signal()
        m.d.comb += stops.eq(halted | self.restart)

        # The run that is asked for, burst by burst.
        run, asking = Signal(ReadRun(self._address_bits, self._count_bits), reset_less=True), Signal()
        coming = self.runs.payload
        end = Signal(self._address_bits + 1, reset_less=True)  # behind the run
        checked, sized = Signal(), Signal()  # whether it may be read, how long its next burst is, is known
        room, is_last = Signal(within + 1), Signal()
        chunk = Signal(within + 1, reset_less=True)
        m.d.comb += [
            self.runs.ready.eq(~asking & ~stops),
            room.eq(self._burst_beats - run.address[:within]),
        ]
        m.d.sync += [
            sized.eq(asking),
            is_last.eq(run.beats <= room),
            chunk.eq(Mux(run.beats <= room, run.beats, room)),
        ]
        with m.If(self.runs.valid & self.runs.ready):
            m.d.sync += [run.eq(coming), end.eq(coming.address + coming.beats), asking.eq(1), checked.eq(0)]
        asks = Signal()  # a burst goes to the bus
        with m.If(asking & ~checked):
            m.d.sync += checked.eq(1)
            # A window may be larger than what an address can tell.
            m.d.comb += outside.eq((end > self.size) | (end > 1 << self._address_bits) | (run.beats == 0))
        m.d.comb += asks.eq(asking & sized & ~stops & (~self.ar.valid | self.ar.ready) & bursts.i.ready)
        with m.If(self.ar.ready):
            m.d.sync += self.ar.valid.eq(0)
        with m.If(asks):
            m.d.sync += [
                self.ar.valid.eq(1),
                self.ar.payload.addr.eq(
                    Cat(run.address << (self._beat_bytes.bit_length() - 1))[:ADDRESS_BITS]
                    + (self.base & ~(PAGE_BYTES - 1) & ((1 << ADDRESS_BITS) - 1))
                ),
                self.ar.payload.len.eq(chunk * self._transfers - 1),
                run.address.eq(run.address + chunk),
                run.beats.eq(run.beats - chunk),
                asking.eq(~is_last),
                sized.eq(0),
            ]
        m.d.comb += [
            bursts.i.valid.eq(asks),
            bursts.i.payload.address.eq(run.address),
            bursts.i.payload.more.eq(chunk - 1),
            bursts.i.payload.last.eq(is_last),
        ]

        # What memory answers: transfers to beats, and whether bursts end where they must.
        current, answer = bursts.o.payload, self.r.payload
        place, takes, ends = Signal(within), Signal(), Signal()
        beat, whole = answer.data, Const(1)  # ``whole``: with this transfer
        if self._transfers > 1:
            lower, whole = Signal(self._data_bits, reset_less=True), Signal()
            beat = Cat(lower, answer.data)
            with m.If(takes):
                m.d.sync += [lower.eq(answer.data), whole.eq(~whole & ~answer.last)]
        m.d.comb += [
            self.r.ready.eq(bursts.o.valid & (stops | beats.i.ready)),
            takes.eq(self.r.valid & self.r.ready),
            ends.eq(whole & (place == current.more)),
            wrong.eq(takes & ((answer.resp != OKAY) | (answer.last != ends))),
            bursts.o.ready.eq(takes & answer.last),
            beats.i.valid.eq(takes & whole & ~stops & ~wrong),
            beats.i.payload.data.eq(beat),
            beats.i.payload.last.eq(current.last & ends),
        ]
        with m.If(takes):
            m.d.sync += place.eq(Mux(answer.last, 0, place + whole))
        with m.If(asks & ~(takes & answer.last)):
            m.d.sync += under_way.eq(under_way + 1)
        with m.If(~asks & takes & answer.last):
            m.d.sync += under_way.eq(under_way - 1)

        # How long memory takes.
        restarting, moves = Signal(), Signal()
        waits, patience = Signal(), Signal(range(self._timeout + 1), init=self._timeout)
        m.d.comb += [
            waits.eq((self.ar.valid & ~self.ar.ready) | ((under_way != 0) & ~self.r.valid)),
            moves.eq((self.ar.valid & self.ar.ready) | takes),
        ]
        with m.If(~waits | moves | self.restart | (halted & ~restarting)):
            m.d.sync += patience.eq(self._timeout)
        with m.Elif(patience != 0):
            m.d.sync += patience.eq(patience - 1)
        m.d.comb += late.eq(patience == 0)

        # Faults, and the way back: when all is answered and dropped.
        m.d.comb += [
            self.o.payload.eq(beats.o.payload),
            self.o.valid.eq(beats.o.valid & ~stops),
            beats.o.ready.eq(self.o.ready | stops),
            self.idle.eq(~asking & ~self.ar.valid & (under_way == 0) & beats.empty),
        ]
        with m.If((outside | wrong | late) & ~stops):
            m.d.sync += [
                halted.eq(1),
                self.fault.eq(Mux(outside, ReadFault.RANGE, Mux(wrong, ReadFault.RESPONSE, ReadFault.TIMEOUT))),
                self.fault_address.eq(Mux(outside, run.address, current.address + place)),
            ]
        with m.If(self.restart):
            m.d.sync += [restarting.eq(1), halted.eq(1), self.fault.eq(ReadFault.NONE)]
        with m.If(stops):
            m.d.sync += asking.eq(0)
        with m.If(restarting & ~self.restart):
            with m.If(late):
                m.d.sync += self.fault.eq(ReadFault.TIMEOUT)
            with m.If(self.idle):
                m.d.sync += [restarting.eq(0), halted.eq(0), self.fault.eq(ReadFault.NONE)]
        return m
