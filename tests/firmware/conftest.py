"""A simulated board, and a device on it that soon gives up."""

import pytest

from firmware.host.axi import open_axi
from firmware.host.simulated import SimulatedBoard
from firmware.register_map import described
from tests.firmware.host_ports import CONFIG, TIMEOUT


@pytest.fixture
def board():
    with SimulatedBoard(CONFIG) as board:
        yield board


@pytest.fixture
def device(board):
    return open_axi(board.mmio, board.dma, board.allocate, described(), timeout=TIMEOUT)
