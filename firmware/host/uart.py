"""A board behind a serial line."""

from __future__ import annotations

from firmware.host.device import Device
from firmware.link import Link
from firmware.serial_port import SerialPort

BAUD = 1_000_000  #: of the bitstreams of ``hw.build``, unless they are built otherwise
ATTEMPTS = 10
TIMEOUT = 5.0  #: seconds


def open_uart(name: str, baud: int = BAUD, *, timeout: float = TIMEOUT, progress: bool = False) -> Device:
    """Open the core behind the serial port ``name``; give up where nothing answers for ``timeout`` seconds.

    Raises
    ------
    LinkError
        If the port does not open, or nothing answers, or what answers is no Egret core.
    """
    port = SerialPort(name, baud)
    try:
        link = Link(port, timeout=timeout / ATTEMPTS, attempts=ATTEMPTS)
    except BaseException:
        port.close()
        raise
    return Device(link, close=port.close, progress=progress)
