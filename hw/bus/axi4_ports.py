"""An AXI4 read master's ports with the names of the standard, as a top has them."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.axi4_read import ADDRESS_BITS

ID_BITS = 1
BURST_INCR = 1
CACHE_NORMAL = 0b0011  #: normal memory, not cached, bufferable


def read_ports(data_bits: int, prefix: str = "m_axi") -> dict[str, wiring.Member]:
    """Return the members of a component that are the read channels of AXI4, ``data_bits`` wide.

    The address channel has all signals of AXI4 but ``arregion`` and ``aruser``, which are optional, as is ``ruser``.
    """
    address = {
        "arid": Out(ID_BITS), "araddr": Out(ADDRESS_BITS), "arlen": Out(8), "arsize": Out(3), "arburst": Out(2),
        "arlock": Out(1), "arcache": Out(4), "arprot": Out(3), "arqos": Out(4), "arvalid": Out(1), "arready": In(1),
    }  # fmt: skip
    answer = {
        "rid": In(ID_BITS), "rdata": In(data_bits), "rresp": In(2), "rlast": In(1), "rvalid": In(1), "rready": Out(1),
    }  # fmt: skip
    return {f"{prefix}_{name}": member for name, member in (address | answer).items()}


def connect_read(
    m: Module, ports: wiring.Component, ar: stream.Interface, r: stream.Interface, prefix: str = "m_axi"
) -> None:
    """Connect the streams of a :class:`hw.bus.axi4_read.Axi4Read` to the :func:`read_ports` of a top.

    Every transfer is as wide as the bus, every burst increments, all have id 0, so ``rid`` is not looked at.

    Parameters
    ----------
    ar, r : stream.Interface
        The master's: addresses that it sends, answers that it takes.
    """

    def port(name):
        return getattr(ports, f"{prefix}_{name}")

    m.d.comb += [
        port("araddr").eq(ar.payload.addr),
        port("arlen").eq(ar.payload.len),
        port("arsize").eq((len(port("rdata")) // 8).bit_length() - 1),
        port("arburst").eq(BURST_INCR),
        port("arcache").eq(CACHE_NORMAL),
        port("arvalid").eq(ar.valid),
        ar.ready.eq(port("arready")),
        r.payload.data.eq(port("rdata")),
        r.payload.resp.eq(port("rresp")),
        r.payload.last.eq(port("rlast")),
        r.valid.eq(port("rvalid")),
        port("rready").eq(r.ready),
    ]
