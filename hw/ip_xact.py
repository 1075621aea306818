"""IP-XACT: the ports, buses and registers of the top, for tools that assemble systems from such descriptions.

IEEE 1685-2014, with the bus definitions that ARM publishes for AMBA 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from amaranth import Shape
from amaranth.lib.wiring import In, Member
from peakrdl_ipxact import IPXACTExporter
from peakrdl_ipxact.exporter import Standard

from hw.bus.registers import ADDRESS_BITS, description
from hw.config import CoreConfig
from hw.top import PORTS, memory_ports

NAMESPACE = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"
SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
LANGUAGE = "verilog"
MEMORY_MAP, FILES = "registers", "rtl"
AXI4_LITE = ("AXI4-Lite", "r0p0_0")
AXI4_STREAM = ("AXI4Stream", "r0p0_1")

AXI4 = ("AXI4", "r0p0_0")

#: Buses of :class:`hw.top.Top`: prefix of the ports, definition and its version, side. The last one where there is one.
BUSES = (
    ("s_axi", *AXI4_LITE, "slave"), ("s_axis", *AXI4_STREAM, "slave"), ("m_axis", *AXI4_STREAM, "master"),
    ("m_axi", *AXI4, "master"),
)  # fmt: skip
CLOCK, RESET = "aclk", "aresetn"


def buses(config: CoreConfig) -> list[tuple[str, str, str, str]]:
    """Return those of :data:`BUSES` that a top has."""
    return [bus for bus in BUSES if bus[1] != AXI4[0] or config.streamed]


def ip_xact(config: CoreConfig, *, name: str, vendor: str, library: str, version: str, title: str) -> str:
    """Return the description of :class:`hw.top.Top` as module ``name`` in ``name.v``."""
    ports = PORTS | memory_ports(config)
    ElementTree.register_namespace("ipxact", NAMESPACE)
    ElementTree.register_namespace("xsi", SCHEMA_INSTANCE)
    root = ElementTree.Element(f"{{{NAMESPACE}}}component")
    root.set(f"{{{SCHEMA_INSTANCE}}}schemaLocation", f"{NAMESPACE} {NAMESPACE}/index.xsd")
    _texts(root, vendor=vendor, library=library, name=name, version=version)
    interfaces = _add(root, "busInterfaces")
    for bus in buses(config):
        _bus(interfaces, ports, *bus)
    root.append(_memory_maps(config.register_parameters))
    _model(_add(root, "model"), ports, name)
    files = _add(_add(root, "fileSets"), "fileSet", name=FILES)
    _add(files, "file", name=f"{name}.v", fileType="verilogSource")
    _texts(root, description=title)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add(parent: ElementTree.Element, tag: str, **texts: object) -> ElementTree.Element:
    """Append an element, with one element inside for each text, in this order."""
    element = ElementTree.SubElement(parent, f"{{{NAMESPACE}}}{tag}")
    _texts(element, **texts)
    return element


def _texts(parent: ElementTree.Element, **texts: object) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, f"{{{NAMESPACE}}}{tag}").text = str(text)


def _bus(interfaces, ports: Iterable[str], prefix: str, definition: str, version: str, side: str) -> None:
    bus = _add(interfaces, "busInterface", name=prefix)
    reference = {"vendor": "amba.com", "library": "AMBA4", "version": version}
    _add(bus, "busType").attrib.update(reference, name=definition)
    abstraction = _add(_add(bus, "abstractionTypes"), "abstractionType")
    _add(abstraction, "abstractionRef").attrib.update(reference, name=f"{definition}_rtl")
    maps = _add(abstraction, "portMaps")
    signals = {port.removeprefix(f"{prefix}_").upper(): port for port in ports if port.startswith(f"{prefix}_")}
    for logical, physical in {"ACLK": CLOCK, "ARESETn": RESET, **signals}.items():
        port_map = _add(maps, "portMap")
        _add(port_map, "logicalPort", name=logical)
        _add(port_map, "physicalPort", name=physical)
    mode = _add(bus, side)
    if definition == AXI4_LITE[0]:
        _add(mode, "memoryMapRef").set("memoryMapRef", MEMORY_MAP)


def _memory_maps(parameters: dict[str, bool]) -> ElementTree.Element:
    """Return what PeakRDL makes of the registers that there are."""
    exporter = IPXACTExporter(standard=Standard.IEEE_1685_2014)
    exporter.skip_not_present = True  # else it leaves to the reader what there is
    with TemporaryDirectory() as folder:
        path = Path(folder) / "registers.xml"
        exporter.export(description(**parameters), str(path))
        maps = ElementTree.parse(path).getroot().find("memoryMaps", {"": NAMESPACE})
    assert maps is not None
    for tag, text in (("name", MEMORY_MAP), ("addressBlock/range", f"{1 << ADDRESS_BITS:#x}".replace("0x", "'h"))):
        element = maps.find(f"memoryMap/{tag}", {"": NAMESPACE})
        assert element is not None
        element.text = text
    return maps


def _model(model, ports: dict[str, Member], name: str) -> None:
    views = _add(model, "views")
    _add(views, "view", name="rtl", envIdentifier=f"{LANGUAGE}::", componentInstantiationRef=LANGUAGE)
    instantiation = _add(
        _add(model, "instantiations"), "componentInstantiation", name=LANGUAGE, language=LANGUAGE, moduleName=name
    )
    _add(instantiation, "fileSetRef", localName=FILES)
    elements = _add(model, "ports")
    for port, member in ports.items():
        wire = _add(_add(elements, "port", name=port), "wire", direction="in" if member.flow is In else "out")
        width = Shape.cast(member.shape).width
        if width > 1:
            _add(_add(wire, "vectors"), "vector", left=width - 1, right=0)
