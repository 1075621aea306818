"""Say by module names what a netlist consists of, and through what a critical path goes."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What each family's cells count as: a pattern of types, a resource, how many of it.
RESOURCES = {
    "ecp5": (
        (r"LUT4", "LUT", 1), (r"CCU2C", "LUT", 2), (r"TRELLIS_DPR16X4", "LUT", 4), (r"TRELLIS_FF", "FF", 1),
        (r"DP16KD", "RAM", 1), (r"MULT18X18D", "multiplier", 1),
    ),
    "ice40": (
        (r"SB_LUT4", "LUT", 1), (r"SB_DFF.*", "FF", 1), (r"SB_RAM40_4K.*", "RAM", 1), (r"SB_SPRAM256KA", "SPRAM", 1),
        (r"SB_MAC16", "multiplier", 1),
    ),
    "gowin": (
        (r"LUT[1-4]|ALU", "LUT", 1), (r"RAM16SDP4", "LUT", 8), (r"RAM16SDP4", "FF", 6), (r"DFF.*", "FF", 1),
        (r"(SDP|DP|SP|pROM)(X9)?B?", "RAM", 1), (r"MULT.*", "multiplier", 1),
    ),
}  # fmt: skip
#: Families whose flip-flops have no input but the LUT or adder beside them, by the types and outputs of those.
BESIDE = {"gowin": (("LUT[1-4]", "F"), ("ALU", "SUM"))}

#: Components by the paths of their modules, the first that matches; numbered ones are counted and averaged.
COMPONENTS = (
    (r"(?:.*\.)?core\.lane_(\d+)\..*\bqueue\b.*", "queue of a lane"),
    (r"(?:.*\.)?core\.lane_(\d+)\b.*", "lane without its queue"),
    (r"(?:.*\.)?core\.cell_(\d+)\b.*", "cell unit"),
    (r"(?:.*\.)?core\.(?:broadcaster|decoder)\b.*", "broadcaster"),
    (r"(?:.*\.)?core\.(?:sequencer|progress)\b.*", "sequencer"),
    (r"(?:.*\.)?core\.loader\b.*", "loader"),
    (r"(?:.*\.)?core\.output\b.*", "output"),
    (r"(?:.*\.)?core\.counters\b.*", "counters"),
    (r"(?:.*\.)?core\.lists\.read\b.*", "read master"),
    (r"(?:.*\.)?core\.lists\.spreader\b.*", "beat spreader"),
    (r"(?:.*\.)?core\.lists\b.*", "list fetch"),
    (r"(?:.*\.)?core\b.*", "between them"),
    (r"(?:.*\.)?system\.ranking\b.*", "ranking"),
    (r"(?:.*\.)?(?:axi|registers|system)\b.*", "bus and registers"),
    (r"(?:.*\.)?(?:link|receiver|transmitter)\b.*", "host link"),
    (r".*", "around it"),
)


@dataclass(frozen=True)
class Component:
    """A component, how many there are, and the mean of what each takes, by resource."""

    name: str
    count: int
    takes: dict[str, float]


def top_module(design: dict[str, Any]) -> dict[str, Any]:
    """Return the top of a netlist as Yosys writes it."""
    (top,) = (module for module in design["modules"].values() if int(module["attributes"].get("top", "0"), 2))
    return top


def module_paths(verilog: str) -> set[str]:
    """Return the paths below the top of all modules that Amaranth emitted, their names joined by dots."""
    names = re.findall(r"^module \\?(\S+)", verilog, re.MULTILINE)
    return {name.partition(".")[2] for name in names}


def module_of(cell: str, paths: Collection[str]) -> str:
    """Return the path of the module that a cell of a flat netlist is named after; empty for the top."""
    path = cell
    while path and path not in paths:
        path = path.rpartition(".")[0]
    return path


def short_path(path: str) -> str:
    """Return a module's path from the core on, or as it is outside the core."""
    return re.sub(r"^(?:.*\.)?core(\.|$)", "", path) or ("core" if path else "top")


def components(netlist: Path, top: str, family: str, paths: Collection[str]) -> list[Component]:
    """Return what each component takes, by the names that synthesis gave to the cells.

    A cell is named after a net at it. Where a net goes on into another module, and may have either's name, so may the
    cell; so the parts are near, and their sum is exact.
    """
    takes = defaultdict(lambda: defaultdict(float))
    numbers = defaultdict(set)
    cells = json.loads(netlist.read_text())["modules"][top]["cells"]
    passed = passed_through(cells, family)
    for name, cell in cells.items():
        kinds = [(resource, n) for types, resource, n in RESOURCES[family] if re.fullmatch(types, cell["type"])]
        if name in passed:
            kinds.append(("LUT", 1))
        if not kinds:
            continue
        path = module_of(name, paths)
        component, match = next(
            (label, match) for pattern, label in COMPONENTS if (match := re.fullmatch(pattern, path))
        )
        numbers[component].add(match.group(1) if match.groups() else "")
        for resource, n in kinds:
            takes[component][resource] += n
    return [
        Component(label, count, {resource: n / count for resource, n in takes[label].items()})
        for _, label in COMPONENTS
        if (count := len(numbers[label]))
    ]


def passed_through(cells: Mapping[str, Any], family: str) -> set[str]:
    """Return the flip-flops that take a LUT's place for nothing but to pass their input through, as on a Gowin device.

    Of these it is every one but those that a LUT or an adder drives and drives alone: nextpnr puts such pairs together.
    """
    if family not in BESIDE:
        return set()
    readers = Counter(
        bit for cell in cells.values() for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "input" for bit in bits
    )  # fmt: skip
    beside = {
        bit for cell in cells.values() for types, port in BESIDE[family] if re.fullmatch(types, cell["type"])
        for bit in cell["connections"].get(port, ()) if readers[bit] == 1
    }  # fmt: skip
    return {
        name for name, cell in cells.items()
        if cell["type"].startswith("DFF") and not beside.issuperset(cell["connections"]["D"])
    }  # fmt: skip
