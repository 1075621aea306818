"""Scripts in the place of Yosys, nextpnr and the packers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

from hw import tools


class FakeTools:
    """Put scripts on a path that otherwise holds no tools.

    Parameters
    ----------
    folder : Path
        Where they are written.
    """

    def __init__(self, folder: Path, monkeypatch):
        self.folder = folder
        folder.mkdir()
        monkeypatch.setenv("PATH", os.pathsep.join([str(folder), "/usr/bin", "/bin"]))
        # For find_tool only: Amaranth runs its own Yosys with the real one.
        monkeypatch.setattr(tools, "sys", SimpleNamespace(executable=str(folder / "python")))
        tools.tool_version.cache_clear()
        tools.has_option.cache_clear()

    def add(self, name: str, body: str = "", *, version: str = "1.99") -> None:
        """Add a tool; ``body`` is a shell script."""
        script = f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{name} {version}"; exit 0; fi\n{body}\n'
        (self.folder / name).write_text(script)
        (self.folder / name).chmod(0o755)

    def add_flow(self, fmax: dict[int, float]) -> None:
        """Add tools for ECP5 that succeed, with the MHz that each seed reaches; other seeds do not route."""
        self.add("yosys", f"cat > egret.json <<'END'\n{json.dumps(NETLIST)}\nEND")
        for earlier in self.folder.glob("report*"):
            earlier.unlink()
        for seed, speed in fmax.items():
            (self.folder / f"report{seed}").write_text(json.dumps(nextpnr_report(speed)))
        copy = f'cp "{self.folder}/report$9" egret.seed$9.report.json'
        self.add(
            "nextpnr-ecp5",
            f'[ "$9" ] || exit 0; echo "seed $9"; echo routed > egret.seed$9.config; {copy} 2> /dev/null || exit 5',
        )
        self.add("ecppack", 'echo "bits of $3" > "$5"')  # after --compress


#: A flat netlist of a lane and what is around it.
NETLIST = {
    "modules": {
        "egret": {
            "attributes": {"top": "1"},
            "ports": {},
            "cells": {
                "core.lane_0.sum_TRELLIS_FF_Q": {"type": "TRELLIS_FF"},
                "core.lane_0.fanout.queue.full_LUT4_Z": {"type": "LUT4"},
                "core.lane_0.fanout.queue.storage_0": {"type": "TRELLIS_DPR16X4"},
                "core.lane_1.sum_CCU2C_S": {"type": "CCU2C"},
                "core.lane_1.sum_CCU2C_S_1": {"type": "CCU2C"},
                "core.lane_1.multiplier.product": {"type": "MULT18X18D"},
                "core.loader.crc.checksum_LUT4_Z": {"type": "LUT4"},
                "core.idle_LUT4_Z": {"type": "LUT4"},
                "link.sender.busy_LUT4_Z": {"type": "LUT4"},
                "pll.clk_PFUMX_Z": {"type": "PFUMX"},
                "reset_TRELLIS_FF_Q": {"type": "TRELLIS_FF"},
            },
        }
    }
}
VERILOG = """module egret(clk);
module \\egret.core (clk);
module \\egret.core.lane_0 (clk);
module \\egret.core.lane_0.fanout.queue (clk);
module \\egret.core.lane_1 (clk);
module \\egret.core.lane_1.multiplier (clk);
module \\egret.core.loader.crc (clk);
module \\egret.link.sender (clk);
"""


def nextpnr_report(fmax: float) -> dict:
    """Return what nextpnr writes of a design with one clock."""
    steps = (
        ("clk-to-q", 0.5, None, "core.loader.crc.checksum_TRELLIS_FF_Q"),
        ("routing", 2.25, "core.loader.data", "core.lane_1.sum_CCU2C_S"),
        ("logic", 0.25, None, "core.lane_1.sum_CCU2C_S"),
        ("routing", 1.0, "core.lane_1.sum", "core.lane_1.sum_TRELLIS_FF_Q"),
        ("setup", 0.125, None, "core.lane_1.sum_TRELLIS_FF_Q"),
    )
    path = [
        {"type": kind, "delay": delay, "to": {"cell": cell}, **({"net": net} if net else {})}
        for kind, delay, net, cell in steps
    ]
    return {
        "fmax": {"$glbnet$clk": {"achieved": fmax, "constraint": 75.0}},
        "utilization": {"TRELLIS_COMB": {"used": 1000, "available": 83640}, "DTR": {"used": 0, "available": 1}},
        "critical_paths": [{"from": "posedge $glbnet$clk", "to": "posedge $glbnet$clk", "path": path}],
    }
