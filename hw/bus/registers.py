"""The register block: ``hw/registers.rdl``, read at elaboration and turned into hardware."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from amaranth import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from systemrdl import RDLCompiler
from systemrdl.node import AddrmapNode, FieldNode
from systemrdl.rdltypes import AccessType, OnWriteType

DESCRIPTION = Path(__file__).resolve().parents[1] / "registers.rdl"
ADDRESS_BITS = 12  #: of a byte address: the usual 4 KiB page
WORD_ADDRESS_BITS = ADDRESS_BITS - 2


@dataclass(frozen=True)
class Field:
    """One field of a register, reduced to what the hardware has to know.

    A field with ``stored`` is a register that software writes; one without is a constant (``reset`` is given) or a
    value that the hardware supplies (``reset`` is None).
    """

    name: str
    low: int
    width: int
    reset: int | None
    stored: bool
    readable: bool
    clears_itself: bool  #: is 1 for one cycle after a 1 was written
    set_by_hardware: bool  #: the hardware sets it, software clears it by writing 1
    tells_read: bool
    tells_write: bool
    description: str

    @property
    def members(self) -> dict[str, wiring.Member]:
        """The ports of the field."""
        members = {}
        if self.stored:
            members[self.name] = Out(self.width)
        elif self.reset is None:
            members[self.name] = In(self.width)
        if self.set_by_hardware:
            members[f"{self.name}_set"] = In(self.width)
        if self.tells_read:
            members[f"{self.name}_read"] = Out(1)
        if self.tells_write:
            members[f"{self.name}_written"] = Out(1)
        return members


@dataclass(frozen=True)
class Register:
    name: str
    address: int  #: in bytes
    fields: tuple[Field, ...]
    description: str

    @property
    def readable(self) -> bool:
        return any(field.readable for field in self.fields)

    @property
    def writable(self) -> bool:
        return any(field.stored for field in self.fields)

    @property
    def layout(self) -> data.Layout:
        return data.FlexibleLayout(32, {field.name: data.Field(field.width, field.low) for field in self.fields})


def _field(node: FieldNode) -> Field:
    """Reduce a field of the description; see :class:`Field`.

    Raises
    ------
    ValueError
        If it asks for something that :class:`RegisterBlock` does not build.
    """
    software, hardware, on_write = (node.get_property(name) for name in ("sw", "hw", "onwrite"))
    field = Field(
        name=node.inst_name,
        low=node.low,
        width=node.width,
        reset=node.get_property("reset"),
        stored=software in (AccessType.rw, AccessType.w),
        readable=software in (AccessType.rw, AccessType.r),
        clears_itself=node.get_property("singlepulse"),
        set_by_hardware=node.get_property("hwset"),
        tells_read=node.get_property("swacc"),
        tells_write=node.get_property("swmod"),
        description=node.get_property("desc") or "",
    )
    access = (software, hardware, field.reset is not None)
    unsupported = [name for name in ("rclr", "rset", "hwclr", "counter", "intr") if node.get_property(name)]
    if (
        unsupported
        or access not in {
            (AccessType.rw, AccessType.r, True), (AccessType.w, AccessType.r, True),
            (AccessType.r, AccessType.w, False), (AccessType.r, AccessType.na, True),
        }
        or on_write not in (None, OnWriteType.woclr)
        or field.set_by_hardware != (on_write == OnWriteType.woclr)
    ):  # fmt: skip
        raise ValueError(
            f"{node.get_path()}: sw={software.name}, hw={hardware.name}, reset {field.reset}, "
            f"onwrite {on_write}, {unsupported} is no kind of field that the register block builds"
        )
    return field


def description(path: Path = DESCRIPTION, **parameters: bool) -> AddrmapNode:
    """Compile the description of the registers, as PeakRDL's exporters take it.

    ``parameters`` are its own, as :attr:`hw.config.CoreConfig.register_parameters` has them; without, a core has all
    registers.
    """
    compiler = RDLCompiler()
    compiler.compile_file(str(path))
    return compiler.elaborate(parameters=parameters).top


@cache
def registers(path: Path = DESCRIPTION, **parameters: bool) -> tuple[Register, ...]:
    """Read :func:`description`, in the order of addresses; of a core that lacks some registers, without those."""
    return tuple(
        Register(
            node.inst_name.lower(),
            node.absolute_address,
            tuple(_field(field) for field in node.fields()),
            node.get_property("desc") or "",
        )
        for node in description(path, **parameters).registers()
    )


class RegisterPort(wiring.Signature):
    """Access to registers, reads and writes apart; seen from the side that asks. Addresses are of 32-bit words.

    The answer to ``read`` and ``write`` comes in the same cycle; ``ok`` is 0 where there is nothing to read or write.
    """

    def __init__(self):
        super().__init__({
            "read": Out(1), "read_address": Out(WORD_ADDRESS_BITS), "read_data": In(32), "read_ok": In(1),
            "write": Out(1), "write_address": Out(WORD_ADDRESS_BITS), "write_data": Out(32), "write_ok": In(1),
        })  # fmt: skip


class RegisterBlock(wiring.Component):
    """All registers of a core, their ports grouped by register: ``block.control.argmax_only``.

    A field that software writes is an output, one that the hardware supplies an input; ``<field>_set`` sets a bit that
    software clears, ``<field>_read`` is high in the cycle of a read, ``<field>_written`` in the cycle in which the
    field shows a word just written. ``parameters``: of :func:`registers`.

    Members
    -------
    bus : In(RegisterPort())
    <register> : Out(Signature of its fields), for each register that has any
    """

    def __init__(self, **parameters: bool):
        self.registers = registers(**parameters)
        members = {"bus": In(RegisterPort())}
        for register in self.registers:
            ports = {name: member for field in register.fields for name, member in field.members.items()}
            if ports:
                members[register.name] = Out(wiring.Signature(ports))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        for register in self.registers:
            ports = getattr(self, register.name, None)
            read_word = data.View(register.layout, self.bus.read_data)
            write_word = data.View(register.layout, self.bus.write_data)
            with m.If(self.bus.read_address == register.address >> 2):
                m.d.comb += self.bus.read_ok.eq(register.readable)
                for field in register.fields:
                    if field.readable:
                        m.d.comb += read_word[field.name].eq(
                            getattr(ports, field.name) if field.members else field.reset
                        )
                    if field.tells_read:
                        m.d.comb += getattr(ports, f"{field.name}_read").eq(self.bus.read)

            for field in filter(lambda field: field.clears_itself, register.fields):
                m.d.sync += getattr(ports, field.name).eq(0)
            for field in filter(lambda field: field.tells_write, register.fields):
                m.d.sync += getattr(ports, f"{field.name}_written").eq(0)
            with m.If(self.bus.write_address == register.address >> 2):
                m.d.comb += self.bus.write_ok.eq(register.writable)
                with m.If(self.bus.write):
                    for field in filter(lambda field: field.stored, register.fields):
                        value, written = getattr(ports, field.name), write_word[field.name]
                        m.d.sync += value.eq(value & ~written if field.set_by_hardware else written)
                        if field.tells_write:
                            m.d.sync += getattr(ports, f"{field.name}_written").eq(1)
            # What happens while software clears is not lost.
            for field in filter(lambda field: field.set_by_hardware, register.fields):
                with m.If(getattr(ports, f"{field.name}_set")):
                    m.d.sync += getattr(ports, field.name).eq(1)
        return m
