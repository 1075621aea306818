"""Wishbone: every request that is not given up is executed once and answered once, as the protocol wants.

Proven for words and addresses of full width, for standard managers, which hold a request until its answer, as for
pipelined ones, which hold it while they are stalled: here that is the same.
"""

from amaranth import Cat, Signal

from formal.bench import Bench, inside
from formal.proof import Paths, Proof
from hw.bus.wishbone import Wishbone

READ_WAIT = 2


def wishbone() -> Bench:
    bench = Bench(Wishbone(read_wait=READ_WAIT))
    m, unit, here = bench.m, bench.component, inside(bench.component)
    bus, registers = unit.bus, unit.registers
    request, requests = Cat(bus.we, bus.adr, bus.sel, bus.dat_w), bus.cyc & bus.stb
    answered, done = bus.ack | bus.err, registers.read | registers.write | unit.refused

    # A manager holds its request until the answer, or gives the whole cycle up.
    waits = bench.past(requests & ~answered)
    bench.assume(~waits | ~bus.cyc | (bus.stb & (request == bench.past(request))))

    # A request is executed once, as long after it appeared as promised, and then answered at once.
    held, executed = Signal(range(READ_WAIT + 3)), Signal()
    m.d.sync += [held.eq(0), executed.eq(0)]
    with m.If(requests & ~answered):
        m.d.sync += [held.eq(held + 1), executed.eq(done)]
    whole = bus.sel.all()
    with m.If(done):
        bench.prove(requests & ~executed & ~answered & (held == 1 + ((~bus.we) * READ_WAIT)))
        bench.prove(registers.read == ~bus.we)
        bench.prove(registers.write == (bus.we & whole))
        bench.prove(unit.refused == (bus.we & ~(whole & registers.write_ok)))
        bench.prove((registers.write_address == bus.adr) & (registers.read_address == bus.adr))
        bench.prove((registers.write_data == bus.dat_w) & (unit.refused_address == bus.adr << 2))
    bench.prove(answered == (bench.past(done) & requests))
    bench.prove(bus.stall == ~bench.past(done))
    bench.prove(~(bus.ack & bus.err))
    with m.If(answered & bench.past(registers.read)):
        bench.prove((bus.ack == bench.past(registers.read_ok)) & (bus.dat_r == bench.past(registers.read_data)))
    with m.Elif(answered):
        bench.prove(bus.err == bench.past(unit.refused))

    # Invariants: the request under way is the one on the bus.
    bench.prove(executed == bench.past(done))
    bench.prove(executed | (held <= 1 + READ_WAIT))
    bench.prove(~bus.cyc | (here.pending == ((held != 0) & ~executed)))
    with m.If(here.pending & bus.cyc):
        bench.prove(Cat(here.writes, here.address, here.word) == Cat(bus.we, bus.adr, bus.dat_w))
        bench.prove((here.whole == whole) & (here.wait + held == 1 + (~bus.we) * READ_WAIT))
    bench.cover(bus.ack & bench.past(registers.read & (registers.read_data == 77)))
    bench.cover(bus.err & bench.past(answered, 3))
    bench.cover(requests & ~bus.we & bench.past(~bus.cyc) & bench.past(requests & ~answered, 2))
    return bench


PROOFS = [
    Paths(
        "Wishbone: answers from registers",
        Wishbone,
        absent=(("*", "bus__stall"), ("*", "bus__dat_r"), ("registers__read_ok", "bus__ack"), ("bus__we", "bus__err")),
        present=(("bus__cyc", "registers__write"), ("bus__stb", "bus__ack")),
    ),
    Proof("Wishbone", wishbone, depth=2),
]
