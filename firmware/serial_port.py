"""A serial port as a transport of :class:`firmware.link.Link`, through pyserial (``pip install egret[host]``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from firmware.requester import LinkError

WRITE_TIMEOUT = 5.0  #: seconds after which a driver that takes no bytes counts as failed


class SerialPort:
    """Open a serial port, 8 data bits, no parity, one stop bit.

    Parameters
    ----------
    name : str
        As the operating system calls it, like ``/dev/ttyUSB0`` or ``COM3``.
    baud : int
        As the device was built for.

    Raises
    ------
    LinkError
        If pyserial is missing, the port cannot be opened, or it fails later, as one that is unplugged.
    """

    def __init__(self, name: str, baud: int):
        try:
            import serial
        except ImportError:
            raise LinkError("pyserial is not installed; pip install pyserial") from None
        self._name, self._failure = name, serial.SerialException
        try:
            self._port = serial.Serial(name, baud, write_timeout=WRITE_TIMEOUT)
            self._port.reset_input_buffer()
        except (serial.SerialException, ValueError) as error:
            raise LinkError(f"the port {name} does not open ({error}); check its name and who else uses it") from None

    def write(self, data: bytes) -> None:
        """Send bytes."""
        with self._failures():
            self._port.write(data)

    def read(self, count: int, timeout: float) -> bytes:
        """Return up to ``count`` bytes as soon as there are any, or none after ``timeout`` seconds."""
        with self._failures():
            self._port.timeout = timeout
            first = self._port.read(1)
            return first + self._port.read(min(self._port.in_waiting, count - 1)) if first else first

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (self._failure, OSError) as error:
            raise LinkError(f"the port {self._name} failed ({error}); check the cable, then open it again") from None

    def close(self) -> None:
        """Give the port back."""
        self._port.close()
