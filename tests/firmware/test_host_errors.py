"""What the host's driver says when something is wrong: one sentence, and nothing half done."""

import os
import random
import time
from types import SimpleNamespace

import numpy as np
import pytest

from firmware.core import Core
from firmware.host import vectors
from firmware.host.axi import open_axi
from firmware.host.device import Device
from firmware.host.network import ImageMismatchError, compile_for, read_network
from firmware.host.selftest import self_test
from firmware.host.simulated import SimulatedBoard, open_simulated
from firmware.host.uart import open_uart
from firmware.link import Link
from firmware.operations import Result, Send
from firmware.port import Step
from firmware.register_map import described
from firmware.requester import LinkError, NoAnswerError
from hw.bus.operations import Outcome
from tests.firmware.host_ports import CONFIG, STREAMED, TIMEOUT, TopCore, open_by_line, said, words_for
from tests.firmware.port import StepCore, TwinPort
from tests.hw.serial_line import Noise


class TestImages:
    def test_for_another_core(self, board, device):
        words = words_for(device)
        other = words.copy()
        other[4] ^= 1  # of the identity
        before = board.cycles
        message = said(ImageMismatchError, device.load, other)
        assert message.startswith("the image: the checksum does not match")
        network = vectors.read_vectors("readout")[0]
        message = said(ImageMismatchError, device.load, STREAMED.compile(network).words, None)
        assert message == (
            f"the image is for a core of configuration {STREAMED.config_id:#010x}, this one is "
            f"{CONFIG.config_id:#010x}; compile the network for this core, or load the bitstream of its build"
        )
        assert board.cycles == before, "something was written"

    def test_cut_short(self, device):
        assert said(ImageMismatchError, device.load, words_for(device)[:-2]).startswith("the image: ")

    def test_folders(self, device, tmp_path):
        assert said(ImageMismatchError, device.load, tmp_path) == (
            f"the image of {tmp_path} cannot be read (No such file or directory); name a folder that hw.build wrote"
        )
        (tmp_path / "image.bin").write_bytes(b"EGR")
        assert said(ImageMismatchError, device.load, str(tmp_path)) == (
            f"the image of {tmp_path} is no whole number of words; build again"
        )
        words_for(device).astype("<u4").tofile(tmp_path / "image.bin")
        device.load(tmp_path)
        assert device.network.outputs == 5

    def test_without_its_lists(self):
        with open_simulated(STREAMED) as device:
            compiled = compile_for(vectors.read_vectors("readout")[0], device.identity)
            assert said(ImageMismatchError, device.load, compiled.words) == (
                "the image has its lists in external memory; give them, too (lists.bin of its build)"
            )
            network = read_network(compiled.words, compiled.lists.beats, device.identity)
            assert len(network.address) == sum(network.units) == 20
            device._place_lists = None
            assert said(LinkError, device.load, compiled.words, compiled.lists.beats).startswith(
                "this core has its lists in external memory, which a serial line does not reach"
            )

    def test_none_was_loaded(self, device):
        for function in (device.states, lambda: device.run([[0]]), lambda: device.write_states(None)):
            assert said(LinkError, function) == "no network was loaded through this device; call load first"

    def test_damaged_on_the_way(self, board, device):
        """The core finds it, the device has no network then, and the next load is a new one."""
        words = words_for(device)
        load_data = described()["load_data"].address
        taken = []

        def write(offset, word):
            taken.append(offset)
            board.mmio.write(offset, word ^ (offset == load_data and len(taken) == 400))

        broken = SimpleNamespace(read=board.mmio.read, write=write)
        device = open_axi(broken, board.dma, board.allocate, described(), timeout=TIMEOUT)
        assert said(LinkError, device.load, words).startswith("the core met the error LOAD_")
        assert said(LinkError, device.states).startswith("no network was loaded")
        device.load(words)
        assert device.error is None


class TestInputs:
    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            (np.zeros((2, 11), int), "inputs are int64 (2, 11); they must be integers (steps, 12)"),
            (np.zeros(12, int), "inputs are int64 (12,); they must be integers (steps, 12)"),
            (np.zeros((2, 12)), "inputs are float64 (2, 12); they must be integers (steps, 12)"),
            (np.full((2, 12), 256), "inputs are from 256 to 256; the core takes -256 to 255"),
        ],
    )
    def test_that_do_not_fit(self, device, inputs, message):
        device.load(words_for(device))
        device.clear_counters()
        assert said(ValueError, device.run, inputs) == message
        assert device.counters()["steps"] == 0

    def test_more_ends_than_steps(self, device):
        device.load(words_for(device))
        assert said(ValueError, device.run, np.zeros((2, 12), int), [True] * 3) == (
            "ends have shape (3,); give one for each of 2 steps, or one for the last"
        )


class TestTimeouts:
    def test_no_output(self, device):
        device.load(words_for(device))
        start = time.monotonic()
        assert said(LinkError, device.core.receive) == "the core sends no output; send a step first, or reset the core"
        assert TIMEOUT / 2 < time.monotonic() - start < 20 * TIMEOUT

    def test_no_input_is_taken(self, board, device):
        """The end of a step that never comes: the DMA keeps the step, and a reset waits for it in vain."""
        device.load(words_for(device))
        board.send = lambda beat: False
        assert said(LinkError, device.run, np.ones((1, 12), int)).startswith("the core sends no output")
        assert said(LinkError, device.core.send, Step([(0, 1)])) == (
            "the core takes no input and sends no output; reset the core"
        )
        assert said(LinkError, device.reset) == "the core takes no input after a reset; reset the device"

    def test_steps_that_the_dma_still_has(self, device):
        """A reset while the core waits for its output to be taken, and the DMA for the core."""
        network, wanted = vectors.read_vectors("readout")
        device.load(words_for(device))
        sent = 0
        while not (device.core._port._sending and not device.core._port._send_channel.idle):
            device.core.execute([Send([(k, 1) for k in range(12)], last=True)])
            sent += 1
            assert sent < 200, "the core never waited"
        device.reset()
        assert device.core.status == {"loaded": 1, "idle": 1, "error": 0}
        assert (device.run(wanted.inputs, wanted.ends) == wanted.outputs).all()

    def test_a_core_that_never_rests(self):
        class Restless:
            status, capacity = 0, 127

            def execute(self, operations):
                return [Result(Outcome.OKAY, 0, data=(0,) * (operation.reply_words == 1)) for operation in operations]

            def forget(self):
                return False

        assert said(LinkError, Core(Restless()).reset) == (
            "the core does not come to rest after a reset; reset the device"
        )

    def test_a_silent_line(self):
        line = SimpleNamespace(write=lambda data: None, read=lambda count, timeout: b"")
        assert said(NoAnswerError, Link, line).startswith("no answer to 10 requests; check the port")

    def test_a_terminal_without_a_device(self):
        near, far = os.openpty()
        try:
            start = time.monotonic()
            assert said(NoAnswerError, open_uart, os.ttyname(far), timeout=TIMEOUT).startswith("no answer")
            assert time.monotonic() - start < 20 * TIMEOUT
        finally:
            os.close(near), os.close(far)


def test_nothing_that_is_a_core():
    core = StepCore()
    core.read_only[0] = 5
    closed = []
    link = Link(TwinPort(core))
    assert said(LinkError, Device, link, close=lambda: closed.append(True)).startswith("MAGIC is 0x00000005")
    assert closed == [True]


def test_an_end_that_comes_twice():
    device = open_by_line(CONFIG)
    device.close()
    device.close()
    assert isinstance(device.identity.config_id, int)


def test_noise_changes_nothing():
    with SimulatedBoard(CONFIG) as board:
        port = TwinPort(TopCore(board), noise=Noise(random.Random(1), 0.0005), seed=1)
        link = Link(port, attempts=100)
        compared = self_test(Device(link))
    assert link.repetitions > 10 and not any(row.differ for row in compared)
