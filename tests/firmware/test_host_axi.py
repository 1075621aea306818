"""A core behind AXI: what its DMA, its register map and its overlay can be wrong in."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from firmware.core import Core
from firmware.host import vectors
from firmware.host.axi import AxiPort, open_axi
from firmware.host.overlay import open_overlay
from firmware.port import Step
from firmware.register_map import MapError, described, read_ip_xact
from firmware.requester import LinkError
from tests.firmware.host_ports import CONFIG, STREAMED, said, words_for, write_map


class TestDma:
    def test_refuses(self, board, device):
        device.load(words_for(device))

        def transfer(buffer, start, nbytes):
            raise ValueError("Transfer size is 100 bytes, which exceeds the maximum DMA buffer size 64")

        board.dma.sendchannel.transfer = transfer
        assert said(LinkError, device.run, np.ones((1, 12), int)) == (
            "the DMA refuses a transfer of 96 bytes (Transfer size is 100 bytes, which exceeds the maximum DMA buffer "
            "size 64); give its length register more bits, or load the overlay again"
        )

    def test_fails(self, board, device):
        device.load(words_for(device))

        def wait():
            raise RuntimeError("DMA Slave Error")

        board.dma.recvchannel.wait = wait
        assert said(LinkError, device.run, np.ones((1, 12), int)) == (
            "the DMA failed (DMA Slave Error); load the overlay again"
        )

    def test_fails_by_itself(self, device):
        """More comes than its buffer holds; it stops, and is never idle."""
        device.load(words_for(device))
        device.core._port._taken = device.core._port._taken[:2]
        assert said(LinkError, device.run, np.ones((1, 12), int)) == (
            "the DMA failed (DMA Internal Error); load the overlay again"
        )

    def test_a_step_larger_than_any(self, device):
        device.load(words_for(device))
        assert said(LinkError, device.core.send, Step([(0, 1)] * 258)) == (
            "a step of 258 beats; the core's 256 sources have as many at most, send one event an input"
        )

    @pytest.mark.parametrize("count", [1, 255, 256, 700])
    def test_steps_of_many_outputs(self, board, device, count):
        """More than a TAKE can count come in several, and none of the next step before."""
        packets = [[(k, 1000 * step - k) for k in range(count)] for step in range(3)]
        channel, waiting = board.dma.recvchannel, list(packets)

        def transfer(buffer, start, nbytes):
            beats = np.array(waiting.pop(0), np.int64).astype(np.uint32)
            taken[: len(beats)] = beats
            channel.transferred = beats.nbytes

        taken = device.core._port._taken = np.zeros((1000, 2), np.uint32)
        idle = SimpleNamespace(idle=True, transfer=lambda *_: None, wait=lambda: None)
        device.core._port._send_channel = idle
        device.core._port._take_channel = channel = SimpleNamespace(idle=True, transfer=transfer, wait=lambda: None)
        done = device.core.run([Step([(0, 1)])] * 3)
        assert [packet.events for packet in done] == packets

    def test_tuser_is_lost(self, board, device):
        device.load(words_for(device))
        send = board.dma.sendchannel.transfer

        def transfer(buffer, start, nbytes):
            buffer[:, 0] &= 0xBFFFFFFF
            send(buffer, start, nbytes)

        board.dma.sendchannel.transfer = transfer
        assert said(LinkError, device.run, np.ones((2, 12), int)) == (
            "step 1 was sent with TUSER 1 and came back with 0; see how TUSER travels (docs/host.md), then reset"
        )

    def test_more_outputs_than_the_network_has(self, board, device):
        device.load(words_for(device))
        wait = board.dma.recvchannel.wait

        def damaged():
            wait()
            board.dma.recvchannel.last[0, 0] = 7

        transfer = board.dma.recvchannel.transfer

        def kept(buffer, start, nbytes):
            board.dma.recvchannel.last = buffer
            transfer(buffer, start, nbytes)

        board.dma.recvchannel.wait, board.dma.recvchannel.transfer = damaged, kept
        assert said(LinkError, device.run, np.ones((1, 12), int)) == "step 0 has output 7 of 5; load the network again"


class TestMaps:
    def test_files(self, tmp_path):
        assert said(MapError, read_ip_xact, tmp_path / "none.xml") == (
            f"the register map {tmp_path / 'none.xml'} cannot be read (No such file or directory); name a folder of "
            "hw.build"
        )
        path = tmp_path / "egret.xml"
        path.write_text("registers")
        assert said(MapError, read_ip_xact, path).startswith(f"the register map {path} is no XML (")
        path.write_text("<component/>")
        assert said(MapError, read_ip_xact, path) == (
            f"the register map {path} has no register magic; take the folder of the core's build"
        )

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            (":name>STATUS<", ":name>STATE<", "has no register status; take the folder of the core's build"),
            (":name>idle<", ":name>quiet<", "has no field idle of status; take the folder of the core's build"),
            ("addressOffset>'h24<", "addressOffset>'hxy<", "is no IP-XACT of 2014 (invalid literal"),
            ("<ipxact:addressOffset>'h24</ipxact:addressOffset>", "", "(an element register has no addressOffset)"),
        ],
    )
    def test_that_lack_something(self, tmp_path, before, after, message):
        path = write_map(CONFIG, tmp_path)
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        assert message in said(MapError, read_ip_xact, path)

    def test_agree_with_the_description(self, tmp_path):
        found = read_ip_xact(write_map(STREAMED, tmp_path))
        every = described()
        assert found == {name: every[name] for name in found} and "list_base" in found
        assert "list_base" not in read_ip_xact(write_map(CONFIG, tmp_path))

    def test_of_something_else(self, board, tmp_path):
        path = write_map(CONFIG, tmp_path)
        path.write_text(path.read_text().replace("addressOffset>'h0<", "addressOffset>'h10<"))
        told = said(MapError, open_axi, board.mmio, board.dma, board.allocate, read_ip_xact(path), close=board.close)
        assert told.startswith("MAGIC reads 0x") and told.endswith(
            "where the register map has it, an Egret core's is 0x54524745; take the map of the core's build, and the "
            "core's block of the design"
        )
        assert said(OSError, board.mmio.read, 0) == "the simulation has ended"

    def test_of_another_version(self, board):
        def read(offset):
            return board.mmio.read(offset) + (offset == described()["version"].address)

        mmio = SimpleNamespace(read=read, write=board.mmio.write)
        assert said(LinkError, open_axi, mmio, board.dma, board.allocate, described()) == (
            "the core's register map is of version 2, this driver knows 1; use the driver that came with the core"
        )

    def test_registers_that_are_refused(self, board, device):
        assert said(LinkError, device.core.read, 0x0C) == "the register at 0x00c refused a read; see docs/registers.md"
        assert (
            said(LinkError, device.core.write, 0, [1]) == "the register at 0x000 refused a write; see docs/registers.md"
        )
        port = AxiPort(board.mmio, board.dma, board.allocate, described())
        assert said(
            LinkError, Core(port, described() | {"none": described()["lists"]}).select, "magic", [1], "none"
        ) == ("the registers magic and none refused an access; see docs/registers.md")

    def test_behind_the_end(self, device, board):
        board.close()
        told = "the register at 0x024 cannot be read (the simulation has ended); open the device again"
        assert said(LinkError, device.clear_counters) == told


class TestOverlays:
    def test_without_pynq(self, monkeypatch, tmp_path):
        write_map(CONFIG, tmp_path)
        monkeypatch.setitem(sys.modules, "pynq", None)
        assert said(LinkError, open_overlay, "egret.bit", tmp_path) == "pynq is not installed; run this on a PYNQ board"

    def test_on_a_board(self, monkeypatch, tmp_path, board):
        write_map(CONFIG, tmp_path)
        blocks = SimpleNamespace(egret_0=SimpleNamespace(mmio=board.mmio), axi_dma_0=board.dma)

        def overlay(bitstream):
            if bitstream != "egret.bit":
                raise OSError(f"Bitstream file {bitstream} does not exist.")
            return blocks

        monkeypatch.setitem(sys.modules, "pynq", SimpleNamespace(Overlay=overlay, allocate=board.allocate))
        with open_overlay("egret.bit", tmp_path) as device:
            device.load(words_for(device))
            _, wanted = vectors.read_vectors("readout")
            assert (device.run(wanted.inputs, wanted.ends) == wanted.outputs).all()
        assert said(LinkError, open_overlay, "egret.bit", tmp_path, dma="dma") == (
            "the overlay egret.bit has no block dma; name the blocks of your design"
        )
        assert said(LinkError, open_overlay, "none.bit", tmp_path) == (
            "the overlay none.bit does not load (Bitstream file none.bit does not exist.); check its path and its "
            ".hwh file"
        )
