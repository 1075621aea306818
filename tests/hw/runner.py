"""Build an Amaranth component as Verilog and run the cocotb tests of a module on it, from pytest.

A test module holds both sides, so that a component's tests are one file::

    from tests.hw.bench import StreamSink, StreamSource, start

    DEPTH = 4

    @cocotb.test()
    async def keeps_order(dut):
        await start(dut)
        ...

    def test_queue(simulate):
        simulate(Queue(shape=8, depth=DEPTH))

``simulate`` (a fixture of ``tests/conftest.py``) runs every ``@cocotb.test()`` of the file and fails with their
messages. The cocotb tests must not be called ``test_*``, or pytest would collect them too. Simulators are built under
``build/tests``, one folder for each design, and used again while its Verilog stays the same.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from amaranth.lib.wiring import Component
from cocotb_tools.runner import get_runner

from hw.emit import emit
from sim.cocotb_model import IDENTITY, compile_model, lock
from sim.verilate import SimulationError

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "tests"
TOP = "dut"


def simulate(
    component: Component,
    *,
    module: str,
    test: str,
    simulator: str = "verilator",
    seed: int = 1,
    parameters: dict[str, str | int] | None = None,
    only: str | None = None,
) -> None:
    """Run the cocotb tests of a module on a component.

    Parameters
    ----------
    module : str
        Module with the cocotb tests, importable from the root of the repository.
    test : str
        Name of the pytest test; the log and the results are kept under it.
    simulator : str
        ``verilator`` or ``icarus``.
    seed : int
        Seeds ``random`` and :data:`cocotb.RANDOM_SEED` in the simulation.
    parameters : dict
        What the cocotb tests read as ``cocotb.plusargs[name]``, always a string.
    only : str
        Regular expression: the cocotb tests to run, by name; all if left out.

    Raises
    ------
    pytest.fail.Exception
        With the message of every cocotb test that failed, or what the tools said.
    """
    __tracebackhide__ = True
    folder = _build(component, simulator)
    run = folder / "runs" / re.sub(r"\W+", "_", test)
    run.mkdir(parents=True, exist_ok=True)
    log, results = run / "simulation.log", run / "results.xml"
    results.unlink(missing_ok=True)
    print(f"seed {seed}; log {log}")
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))  # the simulation gets this path
    runner = get_runner(simulator)
    broken = None
    try:
        runner.test(
            test_module=module,
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            build_dir=folder,
            test_dir=run,
            results_xml=str(results),
            log_file=log,
            seed=seed,
            plusargs=[f"+{name}={value}" for name, value in (parameters or {}).items()],
            test_filter=only,
        )
    except (SystemExit, RuntimeError) as error:
        broken = f"the simulation broke off ({error}):\n{_tail(log)}"
    failures = "\n\n".join(_failures(results))
    if failures or broken:
        pytest.fail(failures or broken, pytrace=False)
    if not list(ElementTree.parse(results).iter("testcase")):
        pytest.fail(f"{module} has no cocotb test that matches {only!r}", pytrace=False)


def _failures(results: Path) -> list[str]:
    """Return a line and the details of each cocotb test that failed."""
    if not results.exists():
        return []
    failures = []
    for case in ElementTree.parse(results).iter("testcase"):
        for outcome in (*case.iter("failure"), *case.iter("error")):
            message = outcome.get("message") or outcome.get("error_msg") or ""
            failures.append(f"{case.get('name')}: {message}\n{outcome.text or ''}".rstrip())
    return failures


def _tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "no log"


def _build(component: Component, simulator: str) -> Path:
    """Compile a component for a simulator unless that was done before; return the folder."""
    source = emit(component, TOP)
    ports = ["clk", "rst", *("__".join(map(str, path)) for path, _, _ in component.signature.flatten(component))]
    identity = repr((source, ports, simulator, IDENTITY))
    __tracebackhide__ = True
    folder = BUILD / f"{type(component).__name__}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    with lock(folder):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / f"{TOP}.v").write_text(source)
            if simulator == "verilator":
                broken = None
                try:
                    compile_model(folder, TOP, ports, sources=[folder / f"{TOP}.v"])
                except SimulationError as error:
                    broken = str(error)
                if broken:
                    pytest.fail(broken, pytrace=False)
            else:
                runner = get_runner(simulator)
                runner.build(
                    sources=[folder / f"{TOP}.v"], hdl_toplevel=TOP, build_dir=folder, always=True,
                    timescale=("1ns", "1ps"), log_file=folder / "build.log",
                )  # fmt: skip
            (folder / "complete").touch()
    return folder
