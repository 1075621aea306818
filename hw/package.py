"""Descriptions of a build for other tools: a FuseSoC core, a Tcl script for Vivado, IP-XACT."""

from __future__ import annotations

from pathlib import Path

from hw.config import REVISION, CoreConfig
from hw.ip_xact import buses, ip_xact

VENDOR, LIBRARY, NAME = "egret", "accelerators", "egret"
VERSION = f"{REVISION}.0.0"  #: of the package; the first number is that of the datapath
TITLE = "Event-based recurrent networks with sparse weights and sparse activity"

#: With the flag ``wishbone`` a core that depends on this one gets the module ``egret_wishbone``, else ``egret``.
FUSESOC = f"""CAPI=2:
name: {VENDOR}:{LIBRARY}:{NAME}:{VERSION}
description: {TITLE}
license: Apache-2.0

filesets:
  axi:
    files: [egret.v]
    file_type: verilogSource
  wishbone:
    files: [egret_wishbone.v]
    file_type: verilogSource
  streams:
    files: [egret_core.v]
    file_type: verilogSource
  image:
    files: [image.hex]
    file_type: user

targets:
  default:
    description: The flag wishbone chooses egret_wishbone, else it is egret (AXI4-Lite and AXI4-Stream).
    filesets: ["!wishbone? (axi)", "wishbone? (wishbone)"]
    toplevel: ["!wishbone? (egret)", "wishbone? (egret_wishbone)"]
  core:
    description: Streams only, for a bus of one's own.
    filesets: [streams]
    toplevel: egret_core
  image:
    description: The memory image of the network, for firmware or a test bench.
    filesets: [image]
    toplevel: egret
"""

#: Needs no open project and leaves none. Interfaces are found by the names of their ports; ``@BUSES@`` is for theirs.
VIVADO = f"""# Package egret.v as an IP for Vivado, in the folder egret_ip beside this script:
#   vivado -mode batch -source egret.tcl
# Then add that folder to a project: set_property ip_repo_paths PATH/egret_ip [current_project]; update_ip_catalog
set here [file dirname [file normalize [info script]]]
set ip_folder [file join $here egret_ip]

create_project -in_memory egret_package
add_files -norecurse [file join $here egret.v]
set_property top {NAME} [current_fileset]
update_compile_order -fileset [current_fileset]

ipx::package_project -root_dir $ip_folder -vendor {VENDOR} -library {LIBRARY} -taxonomy /UserIP -import_files -force
set core [ipx::current_core]
set_property name {NAME} $core
set_property version {VERSION.removesuffix(".0")} $core
set_property display_name Egret $core
set_property description {{{TITLE}}} $core

foreach bus {{@BUSES@}} {{
    ipx::associate_bus_interfaces -busif $bus -clock aclk $core
}}
ipx::infer_bus_interface irq xilinx.com:signal:interrupt_rtl:1.0 $core

ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
close_project
"""


def write_packages(folder: Path, config: CoreConfig) -> list[Path]:
    """Write the descriptions into a folder that holds the Verilog; return their paths."""
    contents = {
        "egret.core": FUSESOC,
        "egret.tcl": VIVADO.replace("@BUSES@", " ".join(bus for bus, *_ in buses(config))),
        "egret.xml": ip_xact(config, name=NAME, vendor=VENDOR, library=LIBRARY, version=VERSION, title=TITLE),
    }
    for name, text in contents.items():
        (folder / name).write_text(text)
    return [folder / name for name in contents]
