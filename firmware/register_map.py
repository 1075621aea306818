"""Where a core's registers and their fields are: from the project's description, or from the map of a build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from firmware.requester import LinkError
from hw.bus.registers import registers

IP_XACT = "{http://www.accellera.org/XMLSchema/IPXACT/1685-2014}"


class MapError(LinkError):
    """A file that is no register map, or the map of another core; the message says what to do."""


@dataclass(frozen=True)
class Field:
    """A field of a register: its lowest bit, and its width in bits."""

    name: str
    low: int
    width: int


@dataclass(frozen=True)
class Register:
    """A register: its byte address, and its fields."""

    name: str
    address: int
    fields: tuple[Field, ...]

    def split(self, word: int) -> dict[str, int]:
        """Return the values of the fields of a word."""
        return {field.name: word >> field.low & ((1 << field.width) - 1) for field in self.fields}

    def join(self, **values: int) -> int:
        """Return the word of fields; those left out are 0."""
        low = {field.name: field.low for field in self.fields}
        return sum(value << low[name] for name, value in values.items())


RegisterMap = Mapping[str, Register]


@cache
def described() -> RegisterMap:
    """Return all registers of ``hw/registers.rdl``, by name."""
    return {
        register.name: Register(
            register.name,
            register.address,
            tuple(Field(field.name, field.low, field.width) for field in register.fields),
        )
        for register in registers()
    }


def read_ip_xact(path: Path) -> RegisterMap:
    """Read the registers of a build's IP-XACT description, ``egret.xml``.

    Raises
    ------
    MapError
        If the file cannot be read, is none, or lacks a register or field that every core has.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise MapError(
            f"the register map {path} cannot be read ({error.strerror}); name a folder of hw.build"
        ) from None
    except ElementTree.ParseError as error:
        raise MapError(f"the register map {path} is no XML ({error}); build again") from None
    found = {}
    try:
        for element in root.iter(f"{IP_XACT}register"):
            fields = tuple(
                Field(_text(field, "name"), _number(field, "bitOffset"), _number(field, "bitWidth"))
                for field in element.iter(f"{IP_XACT}field")
            )
            register = Register(_text(element, "name").lower(), _number(element, "addressOffset"), fields)
            found[register.name] = register
    except ValueError as error:
        raise MapError(f"the register map {path} is no IP-XACT of 2014 ({error}); build again") from None
    _check(found, path)
    return found


def _text(element: ElementTree.Element, tag: str) -> str:
    text = element.findtext(f"{IP_XACT}{tag}")
    if text is None:
        raise ValueError(f"an element {element.tag.rpartition('}')[2]} has no {tag}")
    return text


def _number(element: ElementTree.Element, tag: str) -> int:
    text = _text(element, tag)
    return int(text[2:], 16) if text.startswith("'h") else int(text)


def _check(found: RegisterMap, path: Path) -> None:
    """Check that a map has what every core has."""
    for register in registers(STREAMED=False, RANKED=False):
        if register.name not in found:
            raise MapError(
                f"the register map {path} has no register {register.name}; take the folder of the core's build"
            )
        fields = {field.name for field in found[register.name].fields}
        for field in register.fields:
            if field.name not in fields:
                raise MapError(
                    f"the register map {path} has no field {field.name} of {register.name}; take the folder of the "
                    "core's build"
                )
