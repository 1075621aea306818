"""A core behind a serial line.

    from firmware.link import Link, Step
    from firmware.serial_port import SerialPort

    link = Link(SerialPort("/dev/ttyUSB0", 1_000_000))
    link.load(np.fromfile("image.bin", "<u4").tolist())
    for packet in link.run([Step([(0, 12), (3, -5)]), Step([(1, 7)], ending=True)]):
        print(packet.events)

Protocol: docs/host-link.md. :class:`firmware.host.Device` does the same with NumPy arrays.
"""

from __future__ import annotations

from firmware.core import Core
from firmware.port import Identity, Packet, Step
from firmware.requester import LinkError, Requester, Transport

__all__ = ["Identity", "Link", "LinkError", "Packet", "Step"]


class Link(Core):
    """Talk to a core; every loss and damage on the line is repaired by repeating.

    Parameters
    ----------
    transport : Transport
    timeout : float
        Seconds of silence after which a request is repeated; more than a request takes to be sent and executed.
    attempts : int
        Times that a request is sent before giving up.

    Raises
    ------
    LinkError
        If nothing answers. All methods raise it, too, when the line or the core fails them.
    """

    def __init__(self, transport: Transport, *, timeout: float = 0.5, attempts: int = 10):
        self._requester = Requester(transport, timeout, attempts)
        super().__init__(self._requester)

    @property
    def repetitions(self) -> int:
        """Requests that had to be sent again."""
        return self._requester.repetitions
