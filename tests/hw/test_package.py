"""Descriptions for other tools, each read by a reader of its own: FuseSoC, Tcl, and an importer of IP-XACT."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from peakrdl_ipxact import IPXACTImporter
from systemrdl import RDLCompiler

from hw.bus.registers import ADDRESS_BITS, DESCRIPTION, registers
from hw.config import CoreConfig
from hw.emit import emit
from hw.ip_xact import NAMESPACE
from hw.package import VERSION, write_packages
from hw.top import Top

CONFIG = CoreConfig(lanes=1, cell_units=1, queue_depth=8, rows=2, entries=64, sources=8, layers=2)
STREAMED = replace(CONFIG, gap_bits=5, lists=8, port_bits=64, ranked=2)
VERILOG = {"egret", "egret_core", "egret_wishbone"}
IP = {"ipxact": NAMESPACE}


@pytest.fixture(scope="module", params=[CONFIG, STREAMED], ids=["on-chip", "streamed"])
def config(request):
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("build")
    assert sorted(write_packages(path, config)) == sorted(path.iterdir())
    for name in (*(f"{module}.v" for module in VERILOG), "image.hex"):
        (path / name).touch()
    return path


@pytest.fixture(scope="module")
def component(folder):
    return ElementTree.parse(folder / "egret.xml").getroot()


# FuseSoC.


@pytest.mark.parametrize(
    ("arguments", "top", "file"),
    [
        ([], "egret", "egret.v"),
        (["--flag", "wishbone"], "egret_wishbone", "egret_wishbone.v"),
        (["--target", "core"], "egret_core", "egret_core.v"),
        (["--target", "image"], "egret", "image.hex"),
    ],
)
def test_fusesoc_sets_up_every_target(folder, tmp_path, arguments, top, file):
    (tmp_path / "fusesoc.conf").touch()
    command = [
        str(Path(sys.executable).with_name("fusesoc")), "--config", "fusesoc.conf", "--cores-root", str(folder),
        "run", "--setup", "--tool", "verilator", "--work-root", "work", *arguments, "egret:accelerators:egret",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (description,) = (tmp_path / "work").glob("*.eda.yml")
    design = yaml.safe_load(description.read_text())
    assert design["toplevel"] == top
    assert [Path(found["name"]).name for found in design["files"]] == [file]
    assert f"egret:accelerators:egret:{VERSION}" in design["cores"]


# Vivado.


def test_tcl_packages_the_module(folder, config):
    tkinter = pytest.importorskip("tkinter")
    tcl, called = tkinter.Tcl(), []

    def unknown(name, *arguments):
        called.append((name, *arguments))
        return {"current_fileset": "sources_1", "ipx::current_core": "component_1"}.get(name, "")

    tcl.createcommand("vivado", unknown)
    tcl.eval("proc unknown {args} {uplevel 1 [linsert $args 0 vivado]}")
    tcl.eval("namespace eval ipx {}")
    tcl.evalfile(str(folder / "egret.tcl"))
    names = [name for name, *_ in called]
    assert names[0] == "create_project" and names[-1] == "close_project"
    order = ["add_files", "ipx::package_project", "ipx::associate_bus_interfaces", "ipx::save_core"]
    assert sorted(order, key=names.index) == order
    assert ("add_files", "-norecurse", str(folder / "egret.v")) in called
    assert ("set_property", "top", "egret", "sources_1") in called
    (package,) = [call for call in called if call[0] == "ipx::package_project"]
    assert package[package.index("-root_dir") + 1] == str(folder / "egret_ip")
    buses = {call[2] for call in called if call[0] == "ipx::associate_bus_interfaces"}
    assert buses == {"s_axi", "s_axis", "m_axis"} | ({"m_axi"} if config.streamed else set())
    assert all(call[-1] == "component_1" for call in called if call[0].startswith("ipx::infer"))


# IP-XACT.


def verilog_ports(verilog: str, module: str) -> dict[str, tuple[str, int]]:
    """Return direction and width of the ports of a module."""
    body = re.search(rf"^module {module}\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)[0]
    found = re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+) *;", body, re.MULTILINE)
    return {name: (direction, int(high or 0) + 1) for direction, high, name in found}


def xml_ports(component) -> dict[str, tuple[str, int]]:
    ports = {}
    for port in component.iterfind("ipxact:model/ipxact:ports/ipxact:port", IP):
        left, right = (
            port.findtext(f"ipxact:wire/ipxact:vectors/ipxact:vector/ipxact:{end}", "0", IP)
            for end in ("left", "right")
        )
        direction = port.findtext("ipxact:wire/ipxact:direction", None, IP)
        ports[port.findtext("ipxact:name", None, IP)] = f"{direction}put", int(left) - int(right) + 1
    return ports


def test_ip_xact_has_the_ports_of_the_verilog(component, config):
    ports = verilog_ports(emit(Top(config), "egret"), "egret")
    assert len(ports) == 32 + 17 * config.streamed
    assert xml_ports(component) == ports


def test_ip_xact_refers_to_what_is_there(component, folder):
    assert component.tag == f"{{{NAMESPACE}}}component"
    assert [child.tag.split("}")[1] for child in component] == [
        "vendor", "library", "name", "version", "busInterfaces", "memoryMaps", "model", "fileSets", "description",
    ]  # fmt: skip
    assert component.findtext("ipxact:version", None, IP) == VERSION
    names = {
        kind: {found.findtext("ipxact:name", None, IP) for found in component.iterfind(f".//ipxact:{kind}", IP)}
        for kind in ("memoryMap", "fileSet", "componentInstantiation", "file")
    }
    for tag, kind in (
        ("fileSetRef/ipxact:localName", "fileSet"),
        ("componentInstantiationRef", "componentInstantiation"),
    ):
        assert {found.text for found in component.iterfind(f".//ipxact:{tag}", IP)} == names[kind]
    assert {found.get("memoryMapRef") for found in component.iterfind(".//ipxact:memoryMapRef", IP)} == names[
        "memoryMap"
    ]
    assert all((folder / name).exists() for name in names["file"])
    assert component.findtext(".//ipxact:moduleName", None, IP) == "egret"


def test_ip_xact_maps_every_port_of_a_bus(component, config):
    ports, mapped = set(xml_ports(component)), {}
    for bus in component.iterfind(".//ipxact:busInterface", IP):
        name = bus.findtext("ipxact:name", None, IP)
        logical, physical = (
            [found.text for found in bus.iterfind(f".//ipxact:{side}Port/ipxact:name", IP)]
            for side in ("logical", "physical")
        )
        mapped[name] = dict(zip(logical, physical, strict=True))
        assert bus.find("ipxact:busType", IP).get("name") + "_rtl" == bus.find(".//ipxact:abstractionRef", IP).get(
            "name"
        )
        assert (bus.find("ipxact:master" if name.startswith("m_") else "ipxact:slave", IP)) is not None
        assert mapped[name].pop("ACLK") == "aclk" and mapped[name].pop("ARESETn") == "aresetn"
        assert mapped[name] == {
            port.removeprefix(f"{name}_").upper(): port for port in ports if port.startswith(f"{name}_")
        }
    assert sorted(mapped) == [*(["m_axi"] if config.streamed else []), "m_axis", "s_axi", "s_axis"]
    assert {"AWADDR", "WSTRB", "BRESP", "ARPROT", "RDATA"} <= set(mapped["s_axi"])
    assert {"TDATA", "TLAST", "TUSER", "TVALID", "TREADY"} == set(mapped["s_axis"])


def register_map(top) -> dict:
    """Reduce a compiled description to what a driver needs: addresses, fields, access, resets."""
    return {
        register.inst_name: (
            register.absolute_address,
            {
                field.inst_name: (
                    field.low, field.width, field.get_property("sw"), field.get_property("reset"),
                    field.get_property("onwrite"),
                )
                for field in register.fields()
            },
        )
        for register in top.registers(unroll=True)
    }  # fmt: skip


def test_ip_xact_has_the_registers_of_the_description(component, folder, config):
    described = RDLCompiler()
    described.compile_file(str(DESCRIPTION))
    parameters = config.register_parameters
    imported = RDLCompiler()
    IPXACTImporter(imported).import_file(str(folder / "egret.xml"))
    (block,) = imported.elaborate().top.children()
    wanted = register_map(described.elaborate(parameters=parameters).top)
    assert register_map(block) == wanted
    assert len(wanted) == len(registers(**parameters))
    ranges = [found.text for found in component.iterfind(".//ipxact:addressBlock/ipxact:range", IP)]
    assert ranges == [f"'h{1 << ADDRESS_BITS:x}"]
