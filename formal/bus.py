"""The bus adapters: every access answered once, every beat passed on once, no packet ever broken.

Proven for addresses, words and indices of full width.
"""

from amaranth import Cat, Mux, Signal, Value

from formal.bench import SMALL, Bench, inside
from formal.proof import Proof
from formal.streams import rules
from hw.bus.axi4lite import Axi4Lite, Response
from hw.bus.axi4stream import BUS_NULL_INDEX, BUS_RESTORE_FLAG, EventInput, EventOutput
from hw.errors import Error
from hw.event import NULL_INDEX, RESTORE_FLAG

READ_WAIT = 2


def axi4lite_writes() -> Bench:
    """Prove that each address and its data make one write and one response, in whatever order they come."""
    bench = Bench(Axi4Lite(read_wait=READ_WAIT))
    m, axi, here = bench.m, bench.component, inside(bench.component)
    rules(bench)
    done = Signal()  # the write or its refusal, in this cycle
    m.d.comb += done.eq(axi.registers.write | axi.refused)
    waiting, received = {}, {}
    for name in ("aw", "w"):
        channel = getattr(axi, name)
        waiting[name] = Signal(name=f"{name}_waiting")
        received[name] = Signal(channel.payload.shape(), name=f"{name}_received")
        with m.If(channel.valid & channel.ready):
            m.d.sync += [waiting[name].eq(1), received[name].eq(channel.payload)]
        with m.Elif(done):
            m.d.sync += waiting[name].eq(0)
        bench.prove(channel.ready == ~waiting[name])
    address, word = received["aw"], received["w"]
    bench.prove(done == (waiting["aw"] & waiting["w"] & ~axi.b.valid))
    with m.If(done):
        bench.prove(axi.registers.write == word.strb.all())
        bench.prove(axi.refused == ~(word.strb.all() & axi.registers.write_ok))
        bench.prove(axi.registers.write_address == address >> 2)
        bench.prove(axi.refused_address == address)
        bench.prove(axi.registers.write_data == word.data)
    bench.prove(axi.b.valid == bench.past(done | (axi.b.valid & ~axi.b.ready)))
    with m.If(bench.past(done)):
        bench.prove((axi.b.payload == Response.SLVERR) == bench.past(axi.refused))
    with m.If(waiting["aw"]):
        bench.prove(here.address == address)
    with m.If(waiting["w"]):
        bench.prove(here.word.as_value() == word.as_value())
    bench.cover(bench.past(done & (address == 0x24) & (word.data == 77)) & axi.b.ready)
    bench.cover(axi.refused & bench.past(axi.b.valid & ~axi.b.ready, 2))
    return bench


def axi4lite_reads() -> Bench:
    """Prove that each address makes one read, as late as promised, and one response."""
    bench = Bench(Axi4Lite(read_wait=READ_WAIT))
    m, axi, here = bench.m, bench.component, inside(bench.component)
    rules(bench)
    waiting, address, waited = Signal(), Signal.like(axi.ar.payload), Signal(range(READ_WAIT + 1))
    taken, done = axi.ar.valid & axi.ar.ready, axi.registers.read
    with m.If(taken):
        m.d.sync += [waiting.eq(1), address.eq(axi.ar.payload), waited.eq(0)]
    with m.Elif(done):
        m.d.sync += waiting.eq(0)
    with m.If(~taken & (waited != READ_WAIT)):
        m.d.sync += waited.eq(waited + 1)
    bench.prove(axi.ar.ready == ~waiting)
    bench.prove(done == (waiting & (waited == READ_WAIT) & ~axi.r.valid))
    with m.If(waiting):
        bench.prove(axi.registers.read_address == address >> 2)
        bench.prove(here.wait + waited == READ_WAIT)
    bench.prove(axi.r.valid == bench.past(done | (axi.r.valid & ~axi.r.ready)))
    with m.If(bench.past(done)):
        bench.prove(axi.r.payload.data == bench.past(axi.registers.read_data))
        bench.prove((axi.r.payload.resp == Response.OKAY) == bench.past(axi.registers.read_ok))
    bench.cover(bench.past(done & (address == 0x24)) & axi.r.ready & (axi.r.payload.data == 77))
    bench.cover(done & bench.past(axi.r.valid & ~axi.r.ready, 2))
    return bench


def event_input() -> Bench:
    """Prove what becomes of each beat: passed on, or refused with its end of step kept."""
    bench = Bench(EventInput(SMALL))
    m, port = bench.m, bench.component
    rules(bench, unless={"o": port.reset})
    beat = port.i.payload
    source = beat.index[:31]
    restores, is_null = beat.index >= BUS_RESTORE_FLAG, beat.index == BUS_NULL_INDEX
    index = Mux(is_null, NULL_INDEX, Mux(restores, RESTORE_FLAG | source, source))
    has_bits = is_null | ((source < RESTORE_FLAG) & (index != NULL_INDEX))
    fits = is_null | ((beat.value >= -(1 << SMALL.value_bits - 1)) & (beat.value < 1 << SMALL.value_bits - 1))
    taken, good = Signal(), Signal()
    m.d.comb += [taken.eq(port.i.valid & port.i.ready), good.eq(has_bits & fits)]

    bench.prove((port.error != Error.NONE) == (taken & ~good))
    with m.If(taken & ~good):
        bench.prove(Value.cast(port.error) == Mux(has_bits, Error.VALUE, Error.INDEX))
        bench.prove(port.detail == Mux(has_bits, beat.value.as_unsigned(), beat.index))
    with m.If(bench.past(taken)):
        bench.prove(port.o.valid == bench.past(good | beat.last))
        with m.If(port.o.valid):
            bench.prove(port.o.payload.last == bench.past(beat.last))
            bench.prove(port.o.payload.user == bench.past(beat.user))
            bench.prove(port.o.payload.index == bench.past(Mux(good, index[:16], NULL_INDEX)))
            with m.If(bench.past(good & ~is_null)):
                bench.prove(port.o.payload.value == bench.past(beat.value)[: SMALL.value_bits].as_signed())
    with m.Else():
        bench.prove(~port.o.valid | bench.past(port.o.valid & ~port.o.ready & ~port.reset))
    with m.If(taken):
        bench.prove(~port.o.valid | port.o.ready)
    bench.cover(bench.past(taken & good & ~is_null & restores) & port.o.valid)
    bench.cover(bench.past(taken & ~good & beat.last) & port.o.valid)
    return bench


def event_output() -> Bench:
    """Prove that beats leave once and in order, and that a reset closes a packet that has begun, and no other."""
    bench = Bench(EventOutput())
    m, port, here = bench.m, bench.component, inside(bench.component)
    rules(bench, unless={"i": port.reset})
    given, beat, out = port.i.payload, port.o.payload, port.o
    taken = Signal()
    m.d.comb += taken.eq(port.i.valid & port.i.ready)

    # What the bus is offered anew is the beat taken in the cycle before, or else closes a packet.
    anew, closes = Signal(), Signal()
    m.d.comb += [
        anew.eq(out.valid & ~bench.past(out.valid & ~out.ready)),
        closes.eq(anew & ~bench.past(taken)),
    ]
    with m.If(bench.past(taken)):
        bench.prove(anew)
        bench.prove(beat.index == bench.past(Mux(given.index == NULL_INDEX, BUS_NULL_INDEX, given.index)))
        bench.prove(Cat(beat.value, beat.last, beat.user) == bench.past(Cat(given.value, given.last, given.user)))

    # A packet is open from its first beat to its last; a reset while it is open owes an end.
    was_open, is_open, owes = Signal(), Signal(), Signal()
    m.d.comb += is_open.eq(Mux(out.valid, ~beat.last, was_open))
    m.d.sync += [was_open.eq(is_open), owes.eq((owes & ~closes) | (port.reset & is_open))]
    with m.If(closes):
        bench.prove(owes)
        bench.prove((beat.index == BUS_NULL_INDEX) & (beat.value == 0) & beat.last & beat.user)
    with m.If(owes & ~closes | port.reset):
        bench.prove(~port.i.ready)
    with m.If(bench.past(owes & ~closes & (~out.valid | out.ready))):
        bench.prove(closes)
    bench.prove(port.empty == ~(out.valid | (owes & ~closes)))
    bench.prove(port.step == (out.valid & out.ready & beat.last))

    bench.prove(here.closing == (owes & ~closes))
    bench.prove(here.is_open == is_open)
    bench.cover(closes & out.ready & bench.past(out.valid & ~beat.last))
    bench.cover(bench.past(taken) & ~owes & bench.past(closes, 2))
    return bench


PROOFS = [
    Proof("AXI4-Lite: writes", axi4lite_writes, depth=2),
    Proof("AXI4-Lite: reads", axi4lite_reads, depth=2),
    Proof("event input", event_input, depth=2),
    Proof("event output", event_output, depth=2),
]
