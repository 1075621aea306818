"""A core in an overlay of a PYNQ board, which this runs on."""

from __future__ import annotations

from pathlib import Path

from firmware.host.axi import TIMEOUT, open_axi
from firmware.host.device import Device
from firmware.register_map import read_ip_xact
from firmware.requester import LinkError

MAP = "egret.xml"  #: in the folder of a build


def open_overlay(
    bitstream: str,
    build: Path | str,
    *,
    core: str = "egret_0",
    dma: str = "axi_dma_0",
    timeout: float = TIMEOUT,
    progress: bool = False,
) -> Device:
    """Load an overlay on a PYNQ board, and open the core in it.

    Parameters
    ----------
    bitstream : str
        As PYNQ's ``Overlay`` takes it.
    build : path
        Folder of the core's build, which has its register map.
    core, dma : str
        Names of the core and its DMA in the block design.

    Raises
    ------
    LinkError
        If there is no pynq, the overlay has no such blocks, or the map is not that of the core.
    """
    registers = read_ip_xact(Path(build) / MAP)
    try:
        import pynq
    except ImportError:
        raise LinkError("pynq is not installed; run this on a PYNQ board") from None
    try:
        overlay = pynq.Overlay(bitstream)
    except (OSError, ValueError, RuntimeError) as error:
        raise LinkError(f"the overlay {bitstream} does not load ({error}); check its path and its .hwh file") from None
    for name in (core, dma):
        if not hasattr(overlay, name):
            raise LinkError(f"the overlay {bitstream} has no block {name}; name the blocks of your design")
    return open_axi(
        getattr(overlay, core).mmio, getattr(overlay, dma), pynq.allocate, registers, timeout=timeout, progress=progress
    )
