"""A serial port as a transport of :class:`firmware.link.Link`, through pyserial (``pip install egret[host]``)."""

from __future__ import annotations

from firmware.requester import LinkError


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
        If pyserial is missing or the port cannot be opened.
    """

    def __init__(self, name: str, baud: int):
        try:
            import serial
        except ImportError:
            raise LinkError("pyserial is not installed; pip install pyserial") from None
        try:
            self._port = serial.Serial(name, baud)
        except serial.SerialException as error:
            raise LinkError(f"the port {name} does not open ({error}); check its name and who else uses it") from None
        self._port.reset_input_buffer()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._port.write(data)

    def read(self, count: int, timeout: float) -> bytes:
        """Return up to ``count`` bytes as soon as there are any, or none after ``timeout`` seconds."""
        self._port.timeout = timeout
        first = self._port.read(1)
        return first + self._port.read(min(self._port.in_waiting, count - 1)) if first else first

    def close(self) -> None:
        """Give the port back."""
        self._port.close()
