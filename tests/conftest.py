"""Options and fixtures of the whole suite."""

from __future__ import annotations

import functools

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--sim",
        choices=("verilator", "icarus"),
        default="verilator",
        help="for hardware tests (default: verilator)",
    )
    parser.addoption("--seed", type=int, default=1, help="of the stimuli of hardware tests (default: 1)")


@pytest.fixture
def simulate(request):
    """Return :func:`tests.hw.runner.simulate` for the cocotb tests of the requesting module."""
    from tests.hw.runner import simulate as run  # pulls in the simulator; most tests do not need it

    return functools.partial(
        run,
        module=request.module.__name__,
        test=request.node.nodeid,
        simulator=request.config.getoption("--sim"),
        seed=request.config.getoption("--seed"),
    )
